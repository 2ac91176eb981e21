import { parseDigest, parseRepository, parseTag } from '@layermesh/oci'
import { expect, it } from 'vitest'
import { createPullDisplay, renderParts } from './pull-display.ts'
import { FakeOutput } from './testing/fake-context.ts'

const MIB = 1024 * 1024
const WIDE = { rows: 50 }

function part(name: string, heldBytes: number, size = 10 * MIB) {
  return { digest: parseDigest(`sha256:${name.repeat(64)}`), mediaType: 'layer', size, heldBytes, sources: [] }
}

const DONE = {
  type: 'done',
  result: {
    repository: parseRepository('team/app'),
    tag: parseTag('1'),
    digest: parseDigest(`sha256:${'f'.repeat(64)}`),
    mediaType: 'manifest',
    size: 10 * MIB,
    receivedBytes: 6 * MIB,
    sources: [{ peerId: '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp', bytes: 6 * MIB }]
  }
} as const

it('draws a bar for each part', () => {
  const [half, whole, empty] = renderParts([part('a', 5 * MIB), part('b', 10 * MIB), part('c', 0, 0)], WIDE)
  expect(half).toContain(`sha256:aaaaaaaaaaaa [${'#'.repeat(15)}${'.'.repeat(15)}]`)
  expect(half).toContain('5.0 MiB of 10.0 MiB')
  expect(whole).toContain(`[${'#'.repeat(30)}]`)
  expect(empty).toContain(`[${'#'.repeat(30)}]`)
})

it('draws no more than the terminal holds, what is unfinished first', () => {
  const out = new FakeOutput({ isTerminal: true, columns: 40, rows: 6 })
  const display = createPullDisplay(out, false)
  for (const name of '0123456789') {
    display.show({ type: 'progress', progress: part(name, name === '9' ? 1 : 10 * MIB) })
  }
  const lines = out.text.split('\u001b[J').at(-1)?.trimEnd().split('\n') ?? []
  expect(lines).toHaveLength(4)
  expect(lines[0]).toContain('sha256:999')
  for (const line of lines) expect(line.length).toBeLessThan(40)
})

it('draws over what it drew before on a terminal', () => {
  const out = new FakeOutput({ isTerminal: true })
  const display = createPullDisplay(out, false)
  display.show({ type: 'progress', progress: part('a', 0) })
  display.show({ type: 'progress', progress: part('b', 0) })
  expect(out.text.split('\u001b[1A\u001b[J')).toHaveLength(2)
  display.show(DONE)
  expect(out.text).toContain('\u001b[2A\u001b[J')
  expect(out.text).toContain('6.0 MiB from …vnc6iDEp')
})

it('writes a line once for each part that is here when nobody watches', () => {
  const out = new FakeOutput()
  const display = createPullDisplay(out, false)
  for (const held of [1, 10 * MIB, 10 * MIB]) display.show({ type: 'progress', progress: part('a', held) })
  display.show(DONE)
  expect(out.text).toBe(
    `sha256:aaaaaaaaaaaa  10.0 MiB\nteam/app:1@sha256:${'f'.repeat(64)} is here: 10.0 MiB, 6.0 MiB taken in\n  6.0 MiB from …vnc6iDEp\n`
  )
})

it('writes the events themselves as JSON', () => {
  const out = new FakeOutput({ isTerminal: true })
  createPullDisplay(out, true).show(DONE)
  expect(JSON.parse(out.text)).toEqual(DONE)
})

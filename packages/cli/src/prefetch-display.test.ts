import type { NodePrefetch, PrefetchEvent } from '@layermesh/node'
import { parseDigest } from '@layermesh/oci'
import { expect, it } from 'vitest'
import { createPrefetchDisplay } from './prefetch-display.ts'
import { FakeOutput } from './testing/fake-context.ts'

const MIB = 1024 * 1024
const DIGEST = parseDigest(`sha256:${'a'.repeat(64)}`)

function node(name: string, state: NodePrefetch['state'], more: Partial<NodePrefetch> = {}): PrefetchEvent {
  const told = { zone: 'eu', size: 10 * MIB, heldBytes: 5 * MIB, receivedBytes: 5 * MIB }
  return { type: 'progress', progress: { peerId: `12D3KooW${name.repeat(44)}`, state, ...told, ...more } }
}

it('draws a bar for each node, and above them how many have it', () => {
  const out = new FakeOutput({ isTerminal: true, columns: 200 })
  const display = createPrefetchDisplay(out, false)
  display.show(node('a', 'done', { heldBytes: 10 * MIB, digest: DIGEST }))
  display.show(node('b', 'fetching'))
  const [head, first, second] = out.text.split('\u001b[2A\u001b[J').at(-1)?.split('\n') ?? []
  expect(head).toBe('1 of 2 nodes have it')
  expect(first).toContain(`…bbbbbbbb eu [${'#'.repeat(15)}${'.'.repeat(15)}]`)
  expect(first).toMatch(/5\.0 MiB of 10\.0 MiB fetching$/)
  expect(second).toMatch(/\[#{30}\] +10\.0 MiB done$/)
})

it('has room for the numbers and the state of a node on a terminal of 80 columns', () => {
  for (const zone of ['eu', 'a zone with a long name']) {
    const out = new FakeOutput({ isTerminal: true, columns: 80 })
    createPrefetchDisplay(out, false).show(node('a', 'connecting', { zone, size: 999 * MIB, heldBytes: 444 * MIB }))
    const [, row = ''] = out.text.split('\n')
    expect(row).toMatch(/^…aaaaaaaa [\w ]+ \[#{5,}\.{5,}\] +444 MiB of 999 MiB connecting$/)
  }
})

it('draws no more than the terminal holds, those in trouble first', () => {
  const out = new FakeOutput({ isTerminal: true, rows: 5 })
  const display = createPrefetchDisplay(out, false)
  for (const name of '12345678') display.show(node(name, name === '8' ? 'lost' : 'done'))
  const lines = out.text.split('\u001b[J').at(-1)?.trimEnd().split('\n') ?? []
  expect(lines).toHaveLength(3)
  expect(lines[1]).toContain('…88888888')
})

it('writes a line when a node is done or lost when nobody watches, and none that moves the cursor', () => {
  const out = new FakeOutput()
  const display = createPrefetchDisplay(out, false)
  display.show(node('a', 'fetching'))
  display.show(node('a', 'lost', { zone: 'e\u001b[2J' }))
  display.show(node('a', 'lost'))
  display.show(node('a', 'done', { digest: DIGEST }))
  expect(out.text).toBe(
    '…aaaaaaaa in e�[2J was lost; waiting for it to come back\n…aaaaaaaa in eu has sha256:aaaaaaaaaaaa: 10.0 MiB, 5.0 MiB taken in\n'
  )
})

it('writes the events themselves as JSON', () => {
  const out = new FakeOutput({ isTerminal: true })
  createPrefetchDisplay(out, true).show(node('a', 'fetching'))
  expect(JSON.parse(out.text)).toEqual(node('a', 'fetching'))
})

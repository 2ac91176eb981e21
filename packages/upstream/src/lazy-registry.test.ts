import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { digestOf } from '@layermesh/oci'
import { expect, it, onTestFinished } from 'vitest'
import { LazyRegistry } from './lazy-registry.ts'
import type { OpenedRegistry } from './registry/open-registry.ts'

const request = { signal: new AbortController().signal }

/** A registry that gives its own number as the length of all blobs. */
function numbered(number: number, retire: () => Promise<void> = async () => {}): OpenedRegistry {
  return { headBlob: async () => number, retire, close: async () => {} } as unknown as OpenedRegistry
}

async function openLazily(opens: readonly (() => Promise<OpenedRegistry>)[]) {
  const directory = await mkdtemp(join(tmpdir(), 'layermesh-lazy-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const file = join(directory, 'ca.pem')
  await writeFile(file, 'first')
  const left = [...opens]
  const warned: string[] = []
  const registry = new LazyRegistry(
    { open: () => (left.shift() ?? fail)(), log: { warn: (_, message) => warned.push(message) } },
    { host: 'a.example', file }
  )
  const ask = () => registry.headBlob('a', digestOf(Buffer.of()), request)
  return { file, registry, ask, warned, left }
}

async function fail(): Promise<never> {
  throw new Error('not usable')
}

it('goes on with what a file held for all who ask while a change turns out to be of no use', async () => {
  const changed = Promise.withResolvers<OpenedRegistry>()
  const { file, ask, warned, left } = await openLazily([async () => numbered(1), () => changed.promise])
  expect(await ask()).toBe(1)
  await writeFile(file, 'second, longer')
  const asked = [ask(), ask()]
  await expect.poll(() => left.length).toBe(0)
  asked.push(ask())
  changed.reject(new Error('not usable'))
  expect(await Promise.all(asked)).toEqual([1, 1, 1])
  expect(await ask()).toBe(1)
  expect(warned).toHaveLength(1)
})

it('takes a change for all who ask, and lets go of what was before', async () => {
  let retired = 0
  const first = numbered(1, async () => {
    retired++
    throw new Error('it was closed before')
  })
  const { file, registry, ask } = await openLazily([async () => first, async () => numbered(2)])
  expect(await ask()).toBe(1)
  await writeFile(file, 'second, longer')
  expect(await Promise.all([ask(), ask()])).toEqual([2, 2])
  expect(retired).toBe(1)
  await registry.retire()
})

it('is tried again after it could not be opened', async () => {
  const { ask } = await openLazily([fail, async () => numbered(2)])
  await expect(ask()).rejects.toThrow('not usable')
  expect(await ask()).toBe(2)
})

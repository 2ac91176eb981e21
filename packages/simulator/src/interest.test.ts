import { expect, test } from 'vitest'
import { Interest } from './interest.ts'
import type { Peer } from './peer.ts'
import { Random } from './random.ts'

const BALANCED = { naming: 'balanced', neighbours: 10, farNeighbours: 2 } as const

const peer = (index: number, zone = 0): Peer => ({
  id: `peer-${index}`,
  index,
  zone,
  receive: () => undefined,
  lost: () => undefined
})

test('names everybody in a small swarm, and never the one who asks', () => {
  const interest = new Interest()
  const peers = [0, 1, 2, 3].map((index) => peer(index))
  for (const one of peers) interest.add(one)
  const [asker, ...others] = peers
  if (!asker) throw new Error('no asker')
  expect(new Set(interest.names(asker, BALANCED, new Random(1)))).toEqual(new Set(others))
})

test('names all about equally often, so that the graph is almost regular', () => {
  const interest = new Interest()
  const random = new Random(5)
  const degrees = new Map<Peer, number>()
  for (let index = 0; index < 1_000; index++) {
    const asker = peer(index)
    const names = interest.names(asker, BALANCED, random)
    interest.add(asker)
    for (const one of [...names, ...names.map(() => asker)]) degrees.set(one, (degrees.get(one) ?? 0) + 1)
  }
  expect(Math.min(...degrees.values())).toBeGreaterThanOrEqual(4)
  expect(Math.max(...degrees.values())).toBeLessThanOrEqual(16)
})

test('names some of other zones, and no peer that is gone', () => {
  const interest = new Interest()
  const [far, gone, near] = [peer(1, 1), peer(2, 1), peer(3)]
  for (const one of [far, gone, near]) interest.add(one)
  interest.delete(gone)
  expect(interest.names(peer(4), BALANCED, new Random(1))).toEqual([near, far])
})

test('names the same few to all of another zone', () => {
  const interest = new Interest()
  for (let index = 0; index < 50; index++) interest.add(peer(index, index % 2))
  const named = [51, 53, 55].map((index) => interest.names(peer(index, 1), BALANCED, new Random(index)))
  const far = named.map((names) => names.filter(({ zone }) => zone === 0).map(({ id }) => id))
  expect(far[0]?.length).toBe(2)
  expect(far).toEqual([far[0], far[0], far[0]])
})

test('names the latest, the last of them at the end', () => {
  const interest = new Interest()
  for (const index of [1, 2, 3, 4, 2]) interest.add(peer(index))
  const names = interest.names(peer(9), { naming: 'latest', neighbours: 3, farNeighbours: 0 }, new Random(1))
  expect(names.map(({ index }) => index)).toEqual([3, 4, 2])
})

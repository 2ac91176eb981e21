import { digestOf, ownRepository } from '@layermesh/oci'
import { expect, it } from 'vitest'
import { type Distribution, ZoneWatch } from './zone-watch.ts'

const repository = ownRepository('team/app')
const DIGEST = digestOf(Buffer.from('image'))
const OTHER = digestOf(Buffer.from('another image'))

function make(options: { maxImages?: number } = {}) {
  const peers = ['a1', 'a2', 'b1'].map((peerId) => ({ peerId, zone: peerId[0] ?? '', role: 'node' as 'node' | 'seed' }))
  const told: Distribution[] = []
  const watch = new ZoneWatch(
    {
      peers: () => peers,
      knows: async (_repository, digest) => digest !== OTHER,
      onDistributed: (distribution) => void told.push(distribution)
    },
    options
  )
  return { watch, peers, told }
}

it('tells once when every connected node of a zone has an image', async () => {
  const { watch, told } = make()
  await watch.complete('a1', repository, DIGEST)
  await watch.complete('a1', repository, DIGEST)
  expect(told).toEqual([])
  await watch.complete('a2', repository, DIGEST)
  await watch.complete('a2', repository, DIGEST)
  expect(told).toEqual([{ repository, digest: DIGEST, zone: 'a', nodes: 2 }])
  await watch.complete('b1', repository, DIGEST)
  expect(told[1]).toMatchObject({ zone: 'b', nodes: 1 })
})

it('waits neither for nodes that are gone nor for seeds', async () => {
  const { watch, peers, told } = make()
  peers.push({ peerId: 'a3', zone: 'a', role: 'seed' })
  peers.splice(0, 1)
  await watch.complete('a2', repository, DIGEST)
  expect(told).toMatchObject([{ zone: 'a', nodes: 1 }])
})

it('believes nothing of what it does not know itself, nor of whoever is not connected', async () => {
  const { watch, told } = make()
  await watch.complete('b1', repository, OTHER)
  await watch.complete('stranger', repository, DIGEST)
  expect(told).toEqual([])
})

it('remembers no more images than it may', async () => {
  const { watch, told } = make({ maxImages: 1 })
  await watch.complete('a1', repository, DIGEST)
  await watch.complete('a1', ownRepository('team/other'), DIGEST)
  await watch.complete('a2', repository, DIGEST)
  expect(told).toEqual([])
})

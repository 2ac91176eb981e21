import { digestOf } from '@layermesh/oci'
import { expect, it } from 'vitest'
import { searchPeers } from './search.ts'

const DIGEST = digestOf(Buffer.from('wanted'))

it('waits for the peers that were asked when the DHT fails', async () => {
  const answered: string[] = []
  const { promise: dhtFailed, reject: failDht } = Promise.withResolvers<never>()
  const slow = async (peerId: string) => {
    await dhtFailed.catch(() => new Promise((resolve) => setImmediate(resolve)))
    answered.push(peerId)
    return []
  }
  const components = {
    connected: () => ['seed'],
    seeds: () => ['seed'],
    holders: () => ['holder'],
    // biome-ignore lint/correctness/useYield: it fails before it finds anybody
    findProviders: async function* () {
      failDht(new Error('no space left on device'))
      await dhtFailed
    },
    random: () => 0
  }
  await searchPeers(
    DIGEST,
    ['likely'],
    new Set(),
    slow,
    components,
    { findWithinMs: 1_000 },
    new AbortController().signal
  )
  expect(answered).toEqual(['likely', 'seed', 'holder'])
})

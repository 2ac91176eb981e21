import { digestOf } from '@layermesh/oci'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PeerInfo } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { expect, it } from 'vitest'
import { Discovery } from './discovery.ts'

const digest = digestOf(Buffer.from('a blob'))
const signal = new AbortController().signal

async function somebody(): Promise<PeerInfo> {
  return { id: peerIdFromPrivateKey(await generateKeyPair('Ed25519')), multiaddrs: [] }
}

/** A node whose DHT names these, and the times that it tells of. */
async function discoveryOf(providers: (self: PeerInfo) => readonly PeerInfo[]) {
  const self = await somebody()
  const times: number[] = []
  async function* findProviders() {
    yield* providers(self)
  }
  const host = { peerId: self.id, contentRouting: { findProviders } } as unknown as ConstructorParameters<
    typeof Discovery
  >[0]
  const discovery = new Discovery(host, { providerFound: ({ elapsedMs }) => times.push(elapsedMs) })
  const named: string[] = []
  for await (const peerId of discovery.findProviders(digest, signal)) named.push(peerId)
  return { named, times }
}

it('tells once of a search when the DHT names the first other node', async () => {
  const [one, other] = [await somebody(), await somebody()]
  const { named, times } = await discoveryOf((self) => [self, one, other])
  expect(named).toEqual([one.id.toString(), other.id.toString()])
  expect(times).toEqual([expect.any(Number)])
})

it('tells nothing of a search that found nobody else', async () => {
  const { named, times } = await discoveryOf((self) => [self])
  expect(named).toEqual([])
  expect(times).toEqual([])
})

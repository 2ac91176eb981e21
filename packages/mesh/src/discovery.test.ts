import { digestOf } from '@layermesh/oci'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PeerInfo } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import type { CID } from 'multiformats/cid'
import { expect, it } from 'vitest'
import { Discovery } from './discovery.ts'
import { LIMITS } from './limits.ts'

const digest = digestOf(Buffer.from('a blob'))
const otherDigest = digestOf(Buffer.from('another blob'))
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

function digestOfCid({ multihash }: CID): string {
  return `sha256:${Buffer.from(multihash.digest).toString('hex')}`
}

/** A node that announces at once, and what it announced. */
function announcer() {
  const provided: CID[] = []
  const provide = async (cid: CID) => void provided.push(cid)
  const host = { contentRouting: { provide } } as unknown as ConstructorParameters<typeof Discovery>[0]
  return { provided, discovery: new Discovery(host, { providerFound: () => {} }, { announceAfterMs: 0 }) }
}

it('announces a blob once', async () => {
  const { provided, discovery } = announcer()
  discovery.announce(digest)
  discovery.announce(digest)
  await expect.poll(() => provided.length).toBe(1)
  discovery.announce(digest)
  discovery.announce(otherDigest)
  await expect.poll(() => provided.length).toBe(2)
  expect(provided.map(digestOfCid)).toEqual([digest, otherDigest])
})

it('does not announce what enough others hold by the time that it would', async () => {
  const { provided, discovery } = announcer()
  discovery.announce(digest)
  for (let peer = 0; peer < LIMITS.enoughProviders; peer++) discovery.remember(digest, `peer ${peer}`)
  discovery.announce(otherDigest)
  await expect.poll(() => provided.length).toBe(1)
  for (let peer = 0; peer < LIMITS.enoughProviders; peer++) discovery.forget(digest, `peer ${peer}`)
  discovery.announce(digest)
  await expect.poll(() => provided.length).toBe(2)
  expect(provided.map(digestOfCid)).toEqual([otherDigest, digest])
})

import { setTimeout as sleep } from 'node:timers/promises'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { multiaddr } from '@multiformats/multiaddr'
import { afterEach, beforeAll, expect, test } from 'vitest'
import { secretFile } from '../chaos/support/secret.ts'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { HonestClients } from './support/honest-clients.ts'
import { HostilePeer, lengthPrefixed, readSecret, sendAll } from './support/hostile-peer.ts'
import { type Usage, Victim } from './support/victim.ts'

const MAX_PEERS = 20
const CROWD = 50
const MAX_CONNECTIONS_PER_PEER = 4

const sandbox = useSandbox()
const peers: HostilePeer[] = []
let victim: Victim
let secret: Uint8Array
let clients: HonestClients
let before: Usage

beforeAll(async () => {
  const file = await secretFile(sandbox)
  secret = await readSecret(file)
  const flags = ['--secret-file', file]
  const settings = { mesh: { maxPeers: MAX_PEERS } }
  victim = await Victim.start(sandbox, { name: 'seed', role: 'seed', flags, settings })
  const node = await MeshNode.start(sandbox, { name: 'node', join: [victim.node], seed: victim.node, flags })
  clients = HonestClients.start(sandbox, victim.node, node)
  await clients.more(3)
  before = await victim.usage()
})

afterEach(async () => {
  await Promise.all(peers.splice(0).map((peer) => peer.stop()))
  await victim.expectNoLeak(before, { slackBytes: 16 * 1024 * 1024, slackSockets: 16 })
  victim.expectAlive()
})

async function member(privateKey?: Awaited<ReturnType<typeof generateKeyPair>>): Promise<HostilePeer> {
  const peer = await HostilePeer.start({ secret, ...(privateKey === undefined ? {} : { privateKey }) })
  peers.push(peer)
  return peer
}

test('more members than a node has places for come again and again, and honest clients go on', async () => {
  const crowd = await Promise.all(Array.from({ length: CROWD }, () => member()))
  for (let round = 0; round < 4; round++) {
    await Promise.all(crowd.map((peer) => peer.connect(victim.node).catch(() => {})))
    await sleep(500)
  }
  await clients.more(2)
})

test('one member has a few connections, however many it opens', async () => {
  const key = await generateKeyPair('Ed25519')
  const twins = await Promise.all(Array.from({ length: 12 }, () => member(key)))
  await Promise.allSettled(twins.map((twin) => twin.connect(victim.node)))
  const open = () => twins.flatMap(({ host }) => host.getConnections()).filter(({ status }) => status === 'open')
  await expect.poll(() => open().length).toBeLessThanOrEqual(MAX_CONNECTIONS_PER_PEER)
  await clients.more(2)
})

/** A field of a protobuf message that holds bytes. */
function bytesField(number: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([(number << 3) | 2]), lengthPrefixed(bytes)])
}

test('what a member says of itself by identify is bounded, and leads to no dials', async () => {
  const dialled = await victim.node.metric('layermesh_connected_peers')
  const addresses = Array.from({ length: 5_000 }, (_, i) => multiaddr(`/ip4/10.${i >> 8}.${i & 255}.1/tcp/1`).bytes)
  const protocols = Array.from({ length: 5_000 }, (_, i) => Buffer.from(`/layermesh/made-up/${i}`))
  const messages = [
    Buffer.concat(addresses.map((address) => bytesField(2, address))),
    Buffer.concat(protocols.map((protocol) => bytesField(3, protocol))),
    Buffer.concat([bytesField(6, Buffer.alloc(100_000, 'x')), bytesField(8, Buffer.alloc(100_000, 1))]),
    bytesField(1, Buffer.alloc(36, 1)),
    Buffer.concat([bytesField(2, Buffer.alloc(50, 255)), bytesField(4, Buffer.alloc(50, 255))])
  ]
  const peer = await member()
  for (let round = 0; round < 20 && !peer.isCut(); round++) {
    for (const message of messages) {
      const stream = await peer.open(victim.node, '/layermesh/id/push/1.0.0').catch(() => undefined)
      if (stream === undefined) continue
      await sendAll(stream, [lengthPrefixed(message)])
      await stream.close({ signal: AbortSignal.timeout(1_000) }).catch(() => {})
    }
  }
  await clients.more(2)
  expect(await victim.node.metric('layermesh_connected_peers')).toBeLessThanOrEqual(dialled + 2)
})

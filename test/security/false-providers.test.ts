import { randomBytes } from 'node:crypto'
import { PROTOCOL } from '@layermesh/mesh'
import { digestBytes, MEDIA_TYPE } from '@layermesh/oci'
import { peerIdOf } from '@layermesh/trust'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import * as Digests from 'multiformats/hashes/digest'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { hostileHost } from '../../packages/mesh/src/testing/hostile-peer.ts'
import { decodeJoin, encodeRefused } from '../../packages/mesh/src/wire/blob-messages.ts'
import { encodeFields } from '../../packages/mesh/src/wire/fields.ts'
import { FRAME, FrameReader } from '../../packages/mesh/src/wire/frames.ts'
import { eventually } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { ask, descriptorOf, imageOf, putImage } from './support/client.ts'

const SYBILS = 16
const SHA256 = 0x12
const TIMEOUT_MS = 120_000
/** Only ends what hangs: what an answer may cost is counted. */
const MAX_ANSWER_MS = 60_000

const sandbox = useSandbox()
const ends: (() => Promise<void>)[] = []
const layer = randomBytes(2_000_000)
const { digest } = descriptorOf(MEDIA_TYPE.ociLayerGzip, layer)
const cid = CID.createV1(raw.code, Digests.create(SHA256, digestBytes(digest)))
let node: MeshNode
let asked = 0

/** Names ten others, who do not exist, each time that it is asked. */
async function strangers(): Promise<{ peerId: string; addresses: string[] }[]> {
  const keys = await Promise.all(Array.from({ length: 10 }, () => generateKeyPair('Ed25519')))
  return keys.map((key, i) => ({ peerId: peerIdOf(key), addresses: [`/ip4/127.0.0.1/tcp/${1 + i}`] }))
}

async function sybil(): Promise<string> {
  const fixture = { onDispose: (end: () => Promise<void>) => ends.push(end) }
  const hello = () => encodeFields({ version: 'sybil', role: 'node', zone: 'default' })
  const { host } = await hostileHost(fixture, { protocol: PROTOCOL.hello, answer: hello })
  await host.handle(PROTOCOL.blob, (stream) => {
    const reader = new FrameReader()
    stream.addEventListener('message', ({ data }) => {
      for (const { type, body } of reader.push(data)) {
        if (type !== FRAME.join) continue
        asked++
        const { joinId } = decodeJoin(body)
        void strangers().then((peers) => {
          if (stream.writeStatus === 'writable') stream.send(encodeRefused({ joinId, reason: 'busy', peers }))
        })
      }
    })
  })
  ends.push(async () => {})
  hosts.push(host)
  return host.getMultiaddrs()[0]?.toString() ?? ''
}
const hosts: Awaited<ReturnType<typeof hostileHost>>['host'][] = []

beforeAll(async () => {
  const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  await putImage(seed, 'team/app', '1', layer)
  const addresses = await Promise.all(Array.from({ length: SYBILS }, sybil))
  node = await MeshNode.start(sandbox, { name: 'node', join: [seed, { meshAddresses: addresses }], seed })
  await eventually('all are connected', TIMEOUT_MS, async () => (await node.status()).peers > SYBILS || undefined)
  expect((await ask(node, 'GET', '/v2/team/app/manifests/1')).status).toBe(200)
  await Promise.all(hosts.map((host) => host.contentRouting.provide(cid, { signal: AbortSignal.timeout(60_000) })))
  await seed.stop()
})

afterAll(async () => {
  for (const end of ends.reverse()) await end()
})

test('many who claim to have a blob, and name many more, are asked a bounded number of times', async () => {
  for (let i = 0; i < 3; i++) {
    asked = 0
    const { status, elapsedMs } = await ask(node, 'GET', `/v2/team/app/blobs/${digest}`)
    expect(status).toBeOneOf([404, 503])
    expect(elapsedMs, 'ms until the client is told').toBeLessThan(MAX_ANSWER_MS)
    expect(asked, 'times that they were asked').toBeLessThanOrEqual(SYBILS * 3)
  }
})

test('what they say of others does not fill the node’s memory of peers, nor keep it from others', async () => {
  const peers = await ask({ registryUrl: node.adminUrl }, 'GET', '/api/v1/peers')
  expect((JSON.parse(peers.body.toString()) as unknown[]).length).toBeLessThanOrEqual(SYBILS + 1)
  // What it has itself is served as ever.
  const { manifest } = imageOf(layer)
  const { body, elapsedMs } = await ask(node, 'GET', '/v2/team/app/manifests/1')
  expect(body.equals(manifest)).toBe(true)
  expect(elapsedMs).toBeLessThan(MAX_ANSWER_MS)
})

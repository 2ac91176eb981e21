import { randomBytes } from 'node:crypto'
import { MEDIA_TYPE } from '@layermesh/oci'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { hostilePeer, MISDEEDS, type Misdeed, sendPiece } from '../../packages/mesh/src/testing/hostile-peer.ts'
import { eventually } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { ask, descriptorOf, putBlob, putManifest } from './support/client.ts'

const MIB = 1024 * 1024
const LAYER_BYTES = 300_000
const TIMEOUT_MS = 120_000

/** What peers do that a node asks for a blob which nobody else has. */
const LIES: Record<string, Misdeed> = {
  ...MISDEEDS,
  'the bytes of another blob': (stream, requestId, piece) => sendPiece(stream, requestId, Buffer.alloc(piece.length)),
  'one byte less': (stream, requestId, piece) => sendPiece(stream, requestId, piece.subarray(1)),
  'the right bytes, and one more': (stream, requestId, piece) =>
    sendPiece(stream, requestId, Buffer.concat([piece, Buffer.alloc(1)]))
}
const KINDS = Object.keys(LIES)

const sandbox = useSandbox()
const ends: (() => Promise<void>)[] = []
const layers = new Map(KINDS.map((kind) => [kind, randomBytes(LAYER_BYTES)]))
let seed: MeshNode
let node: MeshNode

beforeAll(async () => {
  seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  const config = descriptorOf(MEDIA_TYPE.ociConfig, Buffer.from('{}'))
  await putBlob(seed, 'team/app', Buffer.from('{}'))
  for (const layer of layers.values()) await putBlob(seed, 'team/app', layer)
  const descriptors = [...layers.values()].map((layer) => descriptorOf(MEDIA_TYPE.ociLayerGzip, layer))
  const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers: descriptors }
  await putManifest(seed, 'team/app', '1', JSON.stringify(manifest))

  const fixture = { onDispose: (end: () => Promise<void>) => ends.push(end) }
  const liars = await Promise.all(
    KINDS.map((kind) => {
      const bytes = layerOf(kind)
      const { digest } = descriptorOf('', bytes)
      return hostilePeer(fixture, { digest, bytes, pieceLength: MIB }, LIES[kind] ?? expect.fail())
    })
  )
  const contacts = liars.map(({ address }) => ({ meshAddresses: [address] }))
  node = await MeshNode.start(sandbox, { name: 'node', join: [seed, ...contacts], seed })
  await eventually('all are connected', TIMEOUT_MS, async () => (await node.status()).peers > KINDS.length || undefined)
  expect((await ask(node, 'GET', '/v2/team/app/manifests/1')).status).toBe(200)
  await seed.stop()
})

afterAll(async () => {
  for (const end of ends.reverse()) await end()
})

const layerOf = (kind: string) => layers.get(kind) ?? expect.fail()
const pathOf = (kind: string) => `/v2/team/app/blobs/${descriptorOf('', layerOf(kind)).digest}`

// CVE-2014-9358, CVE-2022-24778: content that was used before all of it was checked.
test.each(KINDS)('a peer that sends %s gives no client a wrong byte', async (kind) => {
  const { status, body } = await ask(node, 'GET', pathOf(kind)).catch(() => ({ status: 0, body: Buffer.alloc(0) }))
  if (status === 200) expect(body.equals(layerOf(kind))).toBe(true)
  else expect(status).toBeOneOf([0, 404, 503])
})

test('nothing but what was right in the end is kept', async () => {
  const heads = await Promise.all(KINDS.map((kind) => ask(node, 'HEAD', pathOf(kind))))
  // Some sent what was asked for, and then something more.
  const right = heads.filter(({ status }) => status === 200).length
  expect((await node.status()).store.bytes, 'bytes in whole blobs').toBeLessThan(LAYER_BYTES * right + 100_000)
})

test('they are shut out, and when somebody honest has it all, all of it comes', async () => {
  expect(await node.metric('layermesh_peers_banned_total')).toBeGreaterThan(KINDS.length / 2)
  await seed.restart({ until: 'live' })
  const honest = await MeshNode.start(sandbox, { name: 'honest', join: [seed, node], seed })
  await Promise.all(
    KINDS.map(async (kind) => {
      const { status, body } = await ask(honest, 'GET', pathOf(kind))
      expect([kind, status, body.equals(layerOf(kind))]).toEqual([kind, 200, true])
    })
  )
  await Promise.all(
    KINDS.map(async (kind) => {
      const answer = await eventually(`${kind} comes`, TIMEOUT_MS, async () => {
        const { status, body } = await ask(node, 'GET', pathOf(kind))
        return status === 200 ? body : undefined
      })
      expect(answer.equals(layerOf(kind)), kind).toBe(true)
    })
  )
})

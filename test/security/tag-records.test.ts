import { randomBytes } from 'node:crypto'
import { PROTOCOL } from '@layermesh/mesh'
import { digestOf, ownRepository, type Repository, type Tag } from '@layermesh/oci'
import { loadOrCreateKey, sealTagRecord } from '@layermesh/trust'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { secretFile } from '../chaos/support/secret.ts'
import { eventually } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { ask, type PushedImage, putImage } from './support/client.ts'
import { HostilePeer, readSecret } from './support/hostile-peer.ts'

const HOUR_MS = 3_600_000
const MEDIA_TYPE = 'application/vnd.oci.image.manifest.v1+json'
const REPOSITORY = ownRepository('team/app')
const TAG = '1' as Tag
const TIMEOUT_MS = 120_000

const sandbox = useSandbox()
let seed: MeshNode
let node: MeshNode
let hostile: HostilePeer
let seedKey: PrivateKey
let newest: PushedImage
/** Signed by the seed when the tag meant something else. */
let replayed: Uint8Array

beforeAll(async () => {
  const file = await secretFile(sandbox)
  const flags = ['--secret-file', file]
  seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed', flags })
  seedKey = await loadOrCreateKey(seed.dataDirectory)
  // It may sign for this alone.
  const trust = [{ peerId: seed.peerId, repositories: ['team/**'] }]
  node = await MeshNode.start(sandbox, { name: 'node', join: [seed], flags, settings: { trust } })
  hostile = await HostilePeer.start({ secret: await readSecret(file) })
  await putImage(seed, REPOSITORY, TAG, Buffer.from('vulnerable'))
  replayed = await recordOf(seed)
  newest = await putImage(seed, REPOSITORY, TAG, Buffer.from('mended'))
  await eventually('the node knows', TIMEOUT_MS, async () => (await meaning()) === newest.digest || undefined)
})

afterAll(() => hostile.stop())

async function recordOf(at: MeshNode): Promise<Uint8Array> {
  const answer = await hostile.call(at, PROTOCOL.tag, { op: 'resolve', repository: REPOSITORY, tag: TAG })
  return answer?.envelope as Uint8Array
}

async function meaning(repository: string = REPOSITORY): Promise<string | undefined> {
  const { headers } = await ask(node, 'GET', `/v2/${repository}/manifests/${TAG}`)
  return headers.get('docker-content-digest') ?? undefined
}

interface Statement {
  readonly key?: PrivateKey
  readonly repository?: Repository
  readonly sequence?: number
  readonly issuedAt?: number
  readonly expiresAt?: number
}

/** A record that says that the tag means what is bad. */
function record({ key = seedKey, repository = REPOSITORY, ...rest }: Statement = {}): Promise<Uint8Array> {
  const now = Date.now()
  const times = { sequence: now * 1000, issuedAt: now, expiresAt: now + HOUR_MS, ...rest }
  const meaningNow = { digest: digestOf(Buffer.from('bad')), mediaType: MEDIA_TYPE, size: 3 }
  return sealTagRecord({ repository, tag: TAG, ...times, ...meaningNow }, key)
}

const FORGERIES: Record<string, [reasons: readonly string[], make: () => Promise<Uint8Array>]> = {
  'an older one that the seed did sign': [['rollback'], async () => replayed],
  'one that has expired': [
    ['expired'],
    () => record({ issuedAt: Date.now() - 2 * HOUR_MS, expiresAt: Date.now() - HOUR_MS })
  ],
  'one of the future': [
    ['from_the_future'],
    () => record({ issuedAt: Date.now() + HOUR_MS, expiresAt: Date.now() + 2 * HOUR_MS })
  ],
  'one of a stranger': [['signer_not_trusted'], async () => record({ key: await generateKeyPair('Ed25519') })],
  'one for a repository that the seed may not sign for': [
    ['signer_not_trusted'],
    () => record({ repository: ownRepository('other/app') })
  ],
  'one that nobody signed': [['signature_invalid', 'record_malformed'], unsigned],
  'no record at all': [['record_malformed'], async () => randomBytes(200)]
}

async function unsigned(): Promise<Uint8Array> {
  const bytes = Buffer.from(await record())
  return Buffer.concat([bytes.subarray(0, -64), randomBytes(64)])
}

// CVE-2024-23332 (Notary): a registry could serve what was once signed, and is known to be bad since.
test.each(Object.keys(FORGERIES))('%s is refused, counted and logged', async (kind) => {
  const [reasons, make] = FORGERIES[kind] ?? expect.fail()
  const before = await refusals(reasons)
  await hostile.call(node, PROTOCOL.tag, { op: 'offer', envelope: await make() })
  await expect.poll(() => refusals(reasons)).toBe(before + 1)
  const lines = node.process.log.findAll(/refused a tag record/).map((line) => JSON.parse(line))
  expect(lines.some(({ reason, from }) => reasons.includes(reason) && from === hostile.peerId)).toBe(true)
  expect(await meaning()).toBe(newest.digest)
  expect(await meaning('other/app')).toBeUndefined()
})

async function refusals(reasons: readonly string[]): Promise<number> {
  const counts = reasons.map((reason) => node.metric('layermesh_tag_records_refused_total', { reason }))
  return (await Promise.all(counts)).reduce((sum, count) => sum + count)
}

test('a record that is sound is taken from anybody, so that the refused ones have something to miss', async () => {
  const sound = await record({ sequence: 2 ** 52, repository: ownRepository('team/other') })
  await hostile.call(node, PROTOCOL.tag, { op: 'offer', envelope: sound })
  const answer = await hostile.call(node, PROTOCOL.tag, { op: 'resolve', repository: 'team/other', tag: TAG })
  expect(Buffer.from(answer?.envelope as Uint8Array).equals(sound)).toBe(true)
})

test('they are refused after a restart too, with no seed left to ask', async () => {
  await seed.stop()
  await node.stop()
  await node.restart({ until: 'live' })
  for (const [, make] of Object.values(FORGERIES)) {
    await hostile.call(node, PROTOCOL.tag, { op: 'offer', envelope: await make() })
  }
  await expect.poll(() => refusals(['rollback'])).toBe(1)
  const { headers } = await ask(node, 'GET', `/v2/${REPOSITORY}/manifests/${TAG}`)
  expect(headers.get('docker-content-digest')).toBe(newest.digest)
  expect(await recordOf(node)).not.toEqual(replayed)
})

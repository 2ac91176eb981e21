import { randomBytes } from 'node:crypto'
import { type Digest, digestOf } from '@layermesh/oci'
import { beforeAll, expect, test } from 'vitest'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { ask, descriptorOf, type PushedImage, putBlob, putImage, putManifest } from './support/client.ts'

const UNKNOWN = digestOf(Buffer.from('nobody has it'))
const ROUNDS = 60
const TRIES = 5

const sandbox = useSandbox()
let seed: MeshNode
let node: MeshNode
let secret: PushedImage

beforeAll(async () => {
  seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed })
  secret = await putImage(seed, 'secret/app', '1', Buffer.from('a secret layer'))
  await putImage(seed, 'team/app', '1', Buffer.from('a layer'))
  // The second node has the bytes as well.
  expect((await ask(node, 'GET', '/v2/secret/app/manifests/1')).status).toBe(200)
  expect((await ask(node, 'GET', `/v2/secret/app/blobs/${secret.layer.digest}`)).status).toBe(200)
})

/** What tells answers apart, but for the digest that was asked for. */
async function outcome(registry: MeshNode, method: string, path: (digest: Digest) => string, digest: Digest) {
  const { status, headers, body } = await ask(registry, method, path(digest))
  const text = body.toString().replaceAll(digest, 'DIGEST')
  return {
    status,
    headers: [...headers]
      .filter(([name]) => name !== 'date')
      .map((pair) => pair.join(': ').replaceAll(digest, 'DIGEST')),
    text
  }
}

const PATHS: readonly [method: string, path: (digest: Digest) => string][] = [
  ['GET', (digest) => `/v2/team/app/blobs/${digest}`],
  ['HEAD', (digest) => `/v2/team/app/blobs/${digest}`],
  ['GET', (digest) => `/v2/team/app/manifests/${digest}`],
  ['HEAD', (digest) => `/v2/team/app/manifests/${digest}`],
  ['GET', (digest) => `/v2/team/app/referrers/${digest}`],
  ['DELETE', (digest) => `/v2/team/app/blobs/${digest}`],
  ['DELETE', (digest) => `/v2/team/app/manifests/${digest}`],
  ['GET', (digest) => `/v2/new/repository/blobs/${digest}`]
]

// CVE-2024-39897 (zot), CVE-2026-35172 (distribution): bytes that are here for one repository were shown in every other.
test('a digest of another repository is answered as one that nobody has', async () => {
  for (const registry of [seed, node]) {
    for (const digest of [secret.digest, secret.layer.digest]) {
      for (const [method, path] of PATHS) {
        const what = `${method} ${path(digest)} at ${registry.name}`
        expect(await outcome(registry, method, path, digest), what).toEqual(
          await outcome(registry, method, path, UNKNOWN)
        )
      }
    }
  }
})

test('a mount from a repository that has not the blob starts an upload, as for one that nobody has', async () => {
  for (const registry of [seed, node]) {
    for (const from of ['team/other', 'team/app', 'nobody/there', 'not a name', '../secret/app']) {
      for (const digest of [secret.layer.digest, UNKNOWN]) {
        const query = `mount=${digest}&from=${encodeURIComponent(from)}`
        const { status, headers } = await ask(registry, 'POST', `/v2/team/app/blobs/uploads/?${query}`)
        expect([status, headers.get('docker-content-digest')], `${from} at ${registry.name}`).toEqual([202, null])
        await ask(registry, 'DELETE', headers.get('location') ?? '')
      }
    }
  }
})

test('a manifest does not bring content of another repository into its own', async () => {
  const config = descriptorOf('application/vnd.oci.image.config.v1+json', Buffer.from('{}'))
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const index = 'application/vnd.oci.image.index.v1+json'
  const child = { mediaType, digest: secret.digest, size: secret.manifest.length }
  for (const registry of [seed, node]) {
    await putBlob(registry, 'thief/app', Buffer.from('{}'))
    const image = JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [secret.layer] })
    expect((await putManifest(registry, 'thief/app', '1', image)).status).toBeOneOf([400, 404])
    const list = JSON.stringify({ schemaVersion: 2, mediaType: index, manifests: [child] })
    const listed = await putManifest(registry, 'thief/app', '1', list, { 'Content-Type': index })
    expect(listed.status).toBeOneOf([400, 404])
    const subject = JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [], subject: child })
    expect((await putManifest(registry, 'thief/app', 'refers', subject)).status).toBe(201)
    for (const path of [`blobs/${secret.layer.digest}`, `manifests/${secret.digest}`]) {
      expect((await ask(registry, 'GET', `/v2/thief/app/${path}`)).status, `${path} at ${registry.name}`).toBe(404)
    }
  }
})

test('how long the answer takes does not tell whether another repository has the blob', async () => {
  for (const registry of [seed, node]) {
    // What makes one answer slower does so each time; a busy machine does not.
    let told: Record<'there' | 'unknown', number>[] = []
    do told = [...told, await quickest(registry)]
    while (told.length < TRIES && told.every(isTelling))
    expect(told.filter(isTelling), 'ms of the quickest answers, in each of all tries').not.toHaveLength(TRIES)
  }
})

/** How long a tenth of the answers take at most, which hardly waited for a CPU. */
async function quickest(registry: MeshNode): Promise<Record<'there' | 'unknown', number>> {
  const times: Record<'there' | 'unknown', number[]> = { there: [], unknown: [] }
  for (let i = 0; i < ROUNDS; i++) {
    for (const [kind, digest] of [
      ['there', secret.layer.digest],
      ['unknown', digestOf(randomBytes(8))]
    ] as const) {
      times[kind].push((await ask(registry, 'HEAD', `/v2/team/app/blobs/${digest}`)).elapsedMs)
    }
  }
  return { there: firstTenth(times.there), unknown: firstTenth(times.unknown) }
}

const isTelling = ({ there, unknown }: Record<'there' | 'unknown', number>) =>
  Math.max(there, unknown) / Math.min(there, unknown) >= 2

test('what the second node has for one repository it shows in no other, though nobody can be asked', async () => {
  const alone = await MeshNode.start(sandbox, { name: 'alone', join: [seed], seed })
  expect((await ask(alone, 'GET', '/v2/secret/app/manifests/1')).status).toBe(200)
  expect((await ask(alone, 'GET', `/v2/secret/app/blobs/${secret.layer.digest}`)).status).toBe(200)
  await seed.stop()
  for (const path of [`blobs/${secret.layer.digest}`, `manifests/${secret.digest}`]) {
    expect((await ask(alone, 'GET', `/v2/team/app/${path}`)).status, path).toBe(404)
    expect((await ask(alone, 'GET', `/v2/secret/app/${path}`)).status, path).toBe(200)
  }
})

function firstTenth(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 10)] ?? 0
}

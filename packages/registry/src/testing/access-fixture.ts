import { digestOf, MEDIA_TYPE, type Repository, type Tag } from '@layermesh/oci'
import type { RepositoryAction } from '../interfaces.ts'
import type { Answer, TestClient } from './client.ts'
import { FakeAccess } from './fake-access.ts'
import { imageManifest } from './images.ts'
import { startRegistry, type TestRegistry } from './start.ts'

export const PRIVATE = 'team/app' as Repository
export const PUBLIC = 'open/app' as Repository
export const MIRRORED = 'docker.io/library/app' as Repository
export const EMPTY = Buffer.from('{}')
export const MANIFEST = imageManifest(EMPTY, [])
export const DIGEST = digestOf(EMPTY)
export const ALL: readonly RepositoryAction[] = ['pull', 'create', 'update', 'delete']

export const ACCESS = new FakeAccess({
  [PRIVATE]: { alice: ALL, puller: ['pull'], creator: ['create'], updater: ['update'], deleter: ['delete'] },
  [PUBLIC]: { '*': ['pull'], alice: ALL },
  [MIRRORED]: { '*': ['pull'] },
  'docker.io/team/closed': { alice: ALL }
})

/** A registry with an image in each repository. */
export async function startWithAccess(options: Parameters<typeof startRegistry>[0] = {}): Promise<TestRegistry> {
  const registry = await startRegistry({ access: ACCESS, ...options })
  for (const repository of [PRIVATE, PUBLIC, MIRRORED, 'docker.io/team/closed' as Repository]) {
    registry.backend.addBlob(repository, EMPTY)
    registry.backend.addManifest(repository, MANIFEST, '1' as Tag)
  }
  return registry
}

export const endpoints = (name: string) => ({
  manifest: `/v2/${name}/manifests/1`,
  digest: `/v2/${name}/manifests/${digestOf(MANIFEST)}`,
  blob: `/v2/${name}/blobs/${DIGEST}`,
  tags: `/v2/${name}/tags/list`,
  referrers: `/v2/${name}/referrers/${DIGEST}`,
  uploads: `/v2/${name}/blobs/uploads/`,
  upload: `/v2/${name}/blobs/uploads/0`
})
const { manifest, digest, blob, tags, referrers, uploads, upload } = endpoints(PRIVATE)

/** Each request with the users that may send it, and what the others are told to ask for. */
export const REQUESTS: readonly [method: string, path: string, users: string[], scope: string, withRight: number][] = [
  ['GET', manifest, ['puller'], 'pull', 200],
  ['HEAD', manifest, ['puller'], 'pull', 200],
  ['GET', digest, ['puller'], 'pull', 200],
  ['HEAD', digest, ['puller'], 'pull', 200],
  ['GET', blob, ['puller'], 'pull', 200],
  ['HEAD', blob, ['puller'], 'pull', 200],
  ['GET', tags, ['puller'], 'pull', 200],
  ['HEAD', tags, ['puller'], 'pull', 200],
  ['GET', referrers, ['puller'], 'pull', 200],
  ['HEAD', referrers, ['puller'], 'pull', 200],
  ['POST', uploads, ['creator'], 'pull,create', 202],
  ['GET', upload, ['creator'], 'pull,create', 404],
  ['HEAD', upload, ['creator'], 'pull,create', 404],
  ['PATCH', upload, ['creator'], 'pull,create', 404],
  ['PUT', upload, ['creator'], 'pull,create', 404],
  ['DELETE', upload, ['creator'], 'pull,create', 404],
  ['PUT', manifest, ['creator', 'updater'], 'pull,create,update', 201],
  ['PUT', `${digest}?tag=2`, ['creator', 'updater'], 'pull,create,update', 201],
  ['PUT', digest, ['creator'], 'pull,create', 201],
  ['DELETE', manifest, ['deleter'], 'delete', 202],
  ['DELETE', digest, ['deleter'], 'delete', 202],
  ['DELETE', blob, ['deleter'], 'delete', 202]
]
/** What goes with a push. */
export const body = (method: string) =>
  method === 'PUT' ? { body: MANIFEST, headers: { 'content-type': MEDIA_TYPE.ociManifest } } : {}
/** Sends one of {@link REQUESTS}. */
export const send = (
  client: TestClient,
  method: string,
  path: string,
  headers: Record<string, string> = {}
): Promise<Answer> => client.send(method, path, { ...body(method), headers: { ...body(method).headers, ...headers } })

import { digestOf, type Repository, type Tag } from '@layermesh/oci'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { RegistryBackend, RepositoryAction } from '../interfaces.ts'
import { basic, bearer, FakeAccess, type Grants } from '../testing/fake-access.ts'
import { imageManifest } from '../testing/images.ts'
import type { MemoryBackend } from '../testing/memory-backend.ts'
import { startRegistry } from '../testing/start.ts'

const EMPTY = Buffer.from('{}')
const MANIFEST = imageManifest(EMPTY, [])
const DIGEST = digestOf(EMPTY)
const REPOSITORIES = ['team/app', 'team/manifests/app', 'open/app', 'docker.io/library/app', 'blobs/uploads/app']
const GRANTS: Grants = {
  'team/app': { alice: ['pull', 'create', 'update', 'delete'], bob: ['pull'] },
  'team/manifests/app': { bob: ['create'] },
  'open/app': { '*': ['pull'], bob: ['delete'] },
  'docker.io/library/app': { '*': ['pull'] },
  'blobs/uploads/app': { alice: ['update'] }
}
const RUNS = 2_000

const name = fc.constantFrom(
  ...REPOSITORIES,
  'team/app',
  'open/app',
  'library/app',
  'app',
  'team',
  'localhost:5000/team/app',
  'TEAM/app'
)
const noise = fc.constantFrom(
  '..',
  '.',
  '',
  '%2e%2e',
  '%2f',
  'team%2Fapp',
  '%00',
  '%74eam',
  'é',
  ';a',
  '\\',
  '_catalog'
)
const keyword = fc.constantFrom('manifests', 'blobs', 'uploads', 'tags', 'list', 'referrers', '_catalog', 'v2')
const reference = fc.constantFrom('1', '1', 'new', DIGEST, DIGEST, digestOf(MANIFEST), 'sha256:x', '0', '')
const endpoint = fc.oneof(
  { arbitrary: fc.tuple(fc.constantFrom('manifests', 'blobs', 'referrers'), reference), weight: 4 },
  fc.constant(['tags', 'list']),
  fc.constant(['blobs', 'uploads', '']),
  fc.tuple(fc.constant('blobs'), fc.constant('uploads'), reference),
  fc.array(fc.oneof(name, noise, keyword, reference), { maxLength: 5 })
)
const parameter = fc.oneof(
  fc.tuple(fc.constant('ns'), fc.constantFrom('docker.io', 'localhost:5000', 'ghcr.io', '')),
  fc.tuple(fc.constantFrom('mount', 'digest'), fc.constant(DIGEST)),
  fc.tuple(fc.constant('tag'), reference),
  fc.tuple(fc.constantFrom('n', 'last'), fc.constantFrom('0', '1', 'team/app'))
)
const query = fc.array(parameter, { maxLength: 2 })
const credentials = fc.constantFrom(
  {},
  basic('alice'),
  basic('alice'),
  basic('alice'),
  basic('bob'),
  basic('nobody'),
  basic('alice', 'wrong'),
  bearer('alice', 'pull'),
  bearer('', 'pull', 'create', 'update', 'delete'),
  { authorization: 'nonsense' }
)
const anything = fc.record({
  method: fc.constantFrom('GET', 'GET', 'GET', 'HEAD', 'POST', 'PATCH', 'PUT', 'DELETE', 'OPTIONS'),
  start: fc.oneof(
    { arbitrary: fc.constant('/v2/'), weight: 9 },
    fc.constantFrom('/v2', '//v2/', '/V2/', 'http://localhost:5000/v2/')
  ),
  parts: fc.tuple(name, endpoint).map(([first, rest]) => [first, ...rest]),
  query,
  headers: credentials
})
const mount = fc.record({
  method: fc.constant('POST'),
  start: fc.constant('/v2/'),
  parts: name.map((to) => [to, 'blobs', 'uploads', '']),
  query: name.map((from): [string, string][] => [
    ['mount', DIGEST],
    ['from', from]
  ]),
  headers: credentials
})
const request = fc.oneof({ arbitrary: anything, weight: 4 }, mount)

/** What a request asked of the backend. */
interface Use {
  readonly repository: Repository
  /** One of these is needed for it. */
  readonly actions: readonly RepositoryAction[]
}

/** A backend that notes what it is asked for; the catalogue is left to the registry to filter. */
function observed(backend: MemoryBackend, uses: Use[]): RegistryBackend {
  const noted =
    <Given extends [Repository, ...unknown[]], Result>(
      act: (...given: Given) => Result,
      ...actions: RepositoryAction[]
    ) =>
    (...given: Given): Result => {
      uses.push({ repository: given[0], actions })
      return act(...given)
    }
  const { blobs, manifests, tags, uploads } = backend
  const mounted = noted(blobs.mount, 'create')
  return {
    blobs: {
      stat: noted(blobs.stat, 'pull'),
      open: noted(blobs.open, 'pull'),
      mount: (to, digest, from, caller) => {
        uses.push({ repository: from ?? ('every one' as Repository), actions: ['pull'] })
        return mounted(to, digest, from, caller)
      },
      delete: noted(blobs.delete, 'delete')
    },
    manifests: {
      get: noted(manifests.get, 'pull'),
      put: noted(manifests.put, 'create', 'update'),
      delete: noted(manifests.delete, 'delete'),
      referrers: noted(manifests.referrers, 'pull')
    },
    tags: {
      resolve: noted(tags.resolve, 'pull'),
      delete: noted(tags.delete, 'delete'),
      list: noted(tags.list, 'pull')
    },
    uploads: { create: noted(uploads.create, 'create'), get: noted(uploads.get, 'create') },
    catalog: (page) => backend.catalog(page)
  }
}

it.each(['registry', 'mirror'] as const)(
  'nothing is asked of what is behind the %s that its caller may not have, whatever is sent',
  async (face) => {
    const uses: Use[] = []
    const access = new FakeAccess(GRANTS)
    const { client, backend } = await startRegistry({ access, face }, (memory) => observed(memory, uses))
    const fill = () => {
      for (const repository of REPOSITORIES as Repository[]) {
        backend.addBlob(repository, EMPTY)
        backend.addManifest(repository, MANIFEST, '1' as Tag)
      }
    }
    fill()
    let allowed = 0
    await fc.assert(
      fc.asyncProperty(request, async ({ method, start, parts, query: pairs, headers }) => {
        uses.length = 0
        const search = pairs.map(([key, value]) => `${key}=${value}`).join('&')
        const path = encodeURI(`${start}${parts.join('/')}`).replaceAll('%25', '%')
        const body = method === 'PUT' || method === 'POST' ? { body: MANIFEST } : {}
        const answer = await client.send(method, search === '' ? path : `${path}?${search}`, { headers, ...body })
        const caller = await access
          .identify({ authorization: undefined, ...headers, certificate: undefined, address: '' })
          .catch(() => access.identify({ authorization: undefined, certificate: undefined, address: '' }))
        for (const { repository, actions } of uses) {
          const may = actions.some((action) => caller.may(action, repository))
          expect({ repository, actions, may }).toEqual({ repository, actions, may: true })
        }
        if (face === 'mirror') expect([401, 429]).not.toContain(answer.status)
        expect(answer.status).toBeLessThan(500)
        if (answer.status < 300 && uses.length > 0) allowed += 1
        if (method === 'DELETE') fill()
      }),
      { numRuns: RUNS }
    )
    expect(allowed).toBeGreaterThan(RUNS / 200)
  }
)

import { digestOf, MEDIA_TYPE, OciError, type Repository, type Tag } from '@layermesh/oci'
import { beforeEach, describe, expect, it } from 'vitest'
import type { RegistryBackend } from './interfaces.ts'
import { basic, FakeAccess } from './testing/fake-access.ts'
import { FakeMirrors } from './testing/fake-mirrors.ts'
import { imageManifest } from './testing/images.ts'
import type { MemoryBackend } from './testing/memory-backend.ts'
import { startRegistry } from './testing/start.ts'

const BLOB = Buffer.from('{}')
const MANIFEST = imageManifest(BLOB, [])
const DIGEST = digestOf(BLOB)
const AT_HUB = 'docker.io/team/app' as Repository
const OWN = 'team/app' as Repository
/** Every way to ask for something of a repository. */
const PATHS = ['manifests/1', `manifests/${digestOf(MANIFEST)}`, `blobs/${DIGEST}`, 'tags/list', `referrers/${DIGEST}`]

let mirrors: FakeMirrors
beforeEach(() => {
  mirrors = new FakeMirrors()
})

type Options = Parameters<typeof startRegistry>[0]

/** A registry with an image in each repository. */
async function start(repositories: readonly string[], options: Options = {}) {
  const registry = await startRegistry(options, (backend) => withMirrors(backend))
  for (const repository of repositories as Repository[]) {
    registry.backend.addBlob(repository, BLOB)
    registry.backend.addManifest(repository, imageManifest(BLOB, [], { annotations: { in: repository } }), '1' as Tag)
    registry.backend.addManifest(repository, MANIFEST)
  }
  return registry
}

function withMirrors(backend: MemoryBackend, more: Partial<RegistryBackend> = {}): RegistryBackend {
  const { blobs, manifests, tags, uploads } = backend
  return { mirrors, blobs, manifests, tags, uploads, catalog: (page) => backend.catalog(page), ...more }
}

/** The repository whose image an answer holds. */
const repositoryOf = (answer: { json(): unknown }) => (answer.json() as { annotations: { in: string } }).annotations.in

describe('a name without a registry', () => {
  it('of an official image means that of the default registry, though the mesh has one', async () => {
    mirrors.own.add('library/app')
    const { client } = await start(['docker.io/library/app', 'library/app'])
    expect(repositoryOf(await client.get('/v2/library/app/manifests/1'))).toBe('docker.io/library/app')
  })

  it('means the mesh’s own when the client says that it means this registry', async () => {
    const { client } = await start(['docker.io/library/app', 'library/app'])
    for (const path of ['/v2/library/app/manifests/1?ns=localhost:5000', '/v2/localhost:5000/library/app/manifests/1'])
      expect(repositoryOf(await client.get(path))).toBe('library/app')
  })

  it('means the mesh’s own where it has one, and else that of the default registry', async () => {
    const { client } = await start([AT_HUB, OWN])
    expect(repositoryOf(await client.get('/v2/team/app/manifests/1'))).toBe(AT_HUB)
    mirrors.own.add(OWN)
    expect(repositoryOf(await client.get('/v2/team/app/manifests/1'))).toBe(OWN)
  })

  it('means the mesh’s own when it can mean nothing else', async () => {
    const { client } = await start(['docker.io/named/app'])
    expect((await client.get('/v2/named/app/manifests/1')).status).toBe(404)
  })

  it('means the mesh’s own when something is pushed', async () => {
    const { client, backend } = await start([AT_HUB])
    backend.addBlob(OWN, BLOB)
    const headers = { 'content-type': MEDIA_TYPE.ociManifest }
    const pushed = await client.send('PUT', '/v2/team/app/manifests/2', { headers, body: MANIFEST })
    expect(pushed.status).toBe(201)
    expect((await client.send('POST', '/v2/library/app/blobs/uploads/')).status).toBe(403)
  })
})

describe('a push to a repository that is new', () => {
  it('tells no other registry of it', async () => {
    mirrors.neverPulled.add(AT_HUB)
    const { client } = await start([AT_HUB])
    expect((await client.head(`/v2/team/app/blobs/${DIGEST}`)).status).toBe(404)
    expect((await client.get('/v2/team/app/tags/list')).status).toBe(404)
    expect(mirrors.questions).toEqual([])
    expect((await client.head('/v2/team/app/manifests/1')).status).toBe(200)
  })
})

describe('a name without a registry, with access control', () => {
  const access = new FakeAccess({ [OWN]: { alice: ['pull'] }, [AT_HUB]: { '*': ['pull'] } })

  it('tells nobody who may not pull it whether the mesh has it', async () => {
    const registry = await start([AT_HUB, OWN], { access })
    const mirror = await start([AT_HUB, OWN], { access, face: 'mirror' })
    for (const has of [true, false]) {
      if (has) mirrors.own.add(OWN)
      else mirrors.own.clear()
      const challenged = await registry.client.get('/v2/team/app/manifests/1')
      expect([challenged.status, 'www-authenticate' in challenged.headers]).toEqual([401, true])
      expect(repositoryOf(await mirror.client.get('/v2/team/app/manifests/1'))).toBe(AT_HUB)
    }
  })

  it('means what it means for everybody to those who may pull both', async () => {
    const both = new FakeAccess({ [OWN]: { alice: ['pull'] }, [AT_HUB]: { alice: ['pull'] } })
    const { client } = await start([AT_HUB, OWN], { access: both })
    expect(repositoryOf(await client.get('/v2/team/app/manifests/1', basic('alice')))).toBe(AT_HUB)
    mirrors.own.add(OWN)
    expect(repositoryOf(await client.get('/v2/team/app/manifests/1', basic('alice')))).toBe(OWN)
  })

  it('is judged by the rules for the repository that it means', async () => {
    const { client } = await start(['docker.io/library/app'], { access })
    expect((await client.get('/v2/library/app/manifests/1', basic('alice'))).status).toBe(404)
  })
})

describe('what another registry would refuse a client', () => {
  it.each(PATHS)('is not there: %s', async (path) => {
    mirrors.admitted = () => false
    const { client } = await start([AT_HUB])
    for (const method of ['GET', 'HEAD']) {
      for (const url of [`/v2/${AT_HUB}/${path}`, `/v2/team/app/${path}?ns=docker.io`, `/v2/team/app/${path}`]) {
        const answer = await client.send(method, url, { headers: basic('alice') })
        expect([url, answer.status, answer.headers['www-authenticate']]).toEqual([url, 404, undefined])
      }
    }
    mirrors.admitted = () => true
    expect((await client.get(`/v2/${AT_HUB}/${path}`)).status).toBe(200)
  })

  it('is asked by what the client wants and by what it sent', async () => {
    const { client } = await start([AT_HUB])
    const { authorization } = basic('alice')
    for (const path of PATHS) await client.get(`/v2/${AT_HUB}/${path}`, { authorization })
    const contents = [{ manifest: '1' }, { manifest: digestOf(MANIFEST) }, { blob: DIGEST }, undefined, undefined]
    expect(mirrors.questions).toEqual(contents.map((content) => ({ repository: AT_HUB, content, authorization })))
  })

  it('is never asked with a credential that access control takes for one of this registry', async () => {
    const access = new FakeAccess({ [AT_HUB]: { '*': ['pull'] } })
    const { client } = await start([AT_HUB], { access })
    for (const headers of [basic('alice'), basic('alice', 'wrong')])
      expect((await client.get(`/v2/${AT_HUB}/manifests/1`, headers)).status).toBe(200)
    expect(mirrors.questions.map(({ authorization }) => authorization)).toEqual([undefined, undefined])
  })

  it('is not asked at all where the rules here refuse it, nor for what is the mesh’s own', async () => {
    const access = new FakeAccess({ [OWN]: { '*': ['pull'] } })
    const { client } = await start([AT_HUB, OWN], { access })
    mirrors.own.add(OWN)
    expect((await client.get(`/v2/${AT_HUB}/manifests/1`)).status).toBe(404)
    expect((await client.get(`/v2/${OWN}/manifests/1`)).status).toBe(200)
    expect(mirrors.questions).toEqual([])
  })
})

describe('a mirrored repository', () => {
  it.each([
    ['POST', 'blobs/uploads/'],
    ['PUT', 'manifests/1'],
    ['DELETE', 'manifests/1'],
    ['DELETE', `blobs/${DIGEST}`],
    ['GET', 'blobs/uploads/x']
  ])('is changed by nobody: %s %s', async (method, path) => {
    const { client } = await start([AT_HUB])
    const headers = { 'content-type': MEDIA_TYPE.ociManifest }
    const answer = await client.send(method, `/v2/${AT_HUB}/${path}`, {
      headers,
      body: method === 'PUT' ? MANIFEST : ''
    })
    expect(answer.headers).not.toHaveProperty('www-authenticate')
    expect(answer.status).toBe(method === 'GET' ? 404 : 403)
  })

  it.each(['UNAUTHORIZED', 'DENIED', 'TOOMANYREQUESTS', 'UNAVAILABLE', 'UNKNOWN'] as const)(
    'has nothing whose answer is %s, on whichever listener: the client goes to its registry',
    async (code) => {
      const fail = () => Promise.reject(new OciError(code, 'no'))
      for (const face of ['registry', 'mirror'] as const) {
        const { client } = await startRegistry({ face }, (backend) =>
          withMirrors(backend, {
            blobs: { ...backend.blobs, open: fail, stat: fail },
            manifests: { ...backend.manifests, get: fail, referrers: fail },
            tags: { ...backend.tags, resolve: fail, list: fail }
          })
        )
        for (const path of PATHS) {
          for (const method of ['GET', 'HEAD']) {
            const answer = await client.send(method, `/v2/${AT_HUB}/${path}`)
            expect([path, answer.status]).toEqual([path, 404])
            expect(answer.headers).not.toHaveProperty('retry-after')
          }
        }
      }
    }
  )
})

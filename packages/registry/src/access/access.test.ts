import { digestOf, MEDIA_TYPE, OciError, type Repository, type Tag } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import type { RepositoryAction } from '../interfaces.ts'
import { basic, bearer, FakeAccess } from '../testing/fake-access.ts'
import { imageManifest } from '../testing/images.ts'
import { startRegistry } from '../testing/start.ts'

const PRIVATE = 'team/app' as Repository
const PUBLIC = 'open/app' as Repository
const MIRRORED = 'docker.io/library/app' as Repository
const EMPTY = Buffer.from('{}')
const MANIFEST = imageManifest(EMPTY, [])
const DIGEST = digestOf(EMPTY)
const ALL: readonly RepositoryAction[] = ['pull', 'create', 'update', 'delete']

const ACCESS = new FakeAccess({
  [PRIVATE]: { alice: ALL, puller: ['pull'], creator: ['create'], updater: ['update'], deleter: ['delete'] },
  [PUBLIC]: { '*': ['pull'], alice: ALL },
  [MIRRORED]: { '*': ['pull'] },
  'docker.io/team/closed': { alice: ALL }
})

async function start(options: Parameters<typeof startRegistry>[0] = {}) {
  const registry = await startRegistry({ access: ACCESS, ...options })
  for (const repository of [PRIVATE, PUBLIC, MIRRORED, 'docker.io/team/closed' as Repository]) {
    registry.backend.addBlob(repository, EMPTY)
    registry.backend.addManifest(repository, MANIFEST, '1' as Tag)
  }
  return registry
}

const endpoints = (name: string) => ({
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
const REQUESTS: readonly [method: string, path: string, users: string[], scope: string, withRight: number][] = [
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
const body = (method: string) =>
  method === 'PUT' ? { body: MANIFEST, headers: { 'content-type': MEDIA_TYPE.ociManifest } } : {}
const send = (
  client: Awaited<ReturnType<typeof start>>['client'],
  method: string,
  path: string,
  headers: Record<string, string> = {}
) => client.send(method, path, { ...body(method), headers: { ...body(method).headers, ...headers } })

describe.each(REQUESTS)('%s %s', (method, path, users, scope, withRight) => {
  it('asks strangers who they are, for just this repository', async () => {
    const { client, events } = await start()
    const answer = await send(client, method, path, { host: 'registry.example' })
    expect(answer.status).toBe(401)
    expect(answer.headers['www-authenticate']).toBe(
      `Bearer realm="http://registry.example/auth/token",scope="team/app:${scope}"`
    )
    if (method !== 'HEAD') expect(answer.errorCode()).toBe('UNAUTHORIZED')
    else expect(Number(answer.headers['content-length'])).toBeGreaterThan(0)
    expect(events).toEqual([])
  })

  it('is done for whoever has the right', async () => {
    for (const user of [...users, 'alice']) {
      const { client } = await start()
      expect((await send(client, method, path, basic(user))).status).toBe(withRight)
    }
  })

  it('is refused to everybody else, without a challenge', async () => {
    for (const user of ['puller', 'creator', 'updater', 'deleter', 'nobody'].filter((name) => !users.includes(name))) {
      const { client, events } = await start()
      const answer = await send(client, method, path, basic(user))
      expect([user, answer.status, answer.headers['www-authenticate']]).toEqual([user, 403, undefined])
      if (method !== 'HEAD') expect(answer.errorCode()).toBe('DENIED')
      expect(events).toEqual([])
    }
  })

  it('wants a token that covers it', async () => {
    const { client } = await start()
    const narrow = await send(client, method, path, bearer('alice'))
    expect([narrow.status, narrow.headers['www-authenticate']]).toEqual([
      401,
      expect.stringContaining(`scope="team/app:${scope}",error="insufficient_scope"`)
    ])
    expect((await send(client, method, path, bearer('alice', ...ALL))).status).toBe(withRight)
  })

  it('is refused with a wrong password, also where everybody may pull', async () => {
    const { client } = await start()
    for (const place of [path, path.replace(PRIVATE, PUBLIC)]) {
      const answer = await send(client, method, place, basic('alice', 'wrong'))
      expect([answer.status, answer.headers['www-authenticate']]).toEqual([
        401,
        expect.stringMatching(/^Bearer realm=/)
      ])
    }
  })
})

describe('the base', () => {
  it('asks strangers who they are, and nobody else', async () => {
    const { client } = await start()
    for (const path of ['/v2/', '/v2', '/v2/?x=y', '/v2/?ns=localhost:5000']) {
      const answer = await client.get(path, { host: 'registry.example' })
      expect([answer.status, answer.headers['www-authenticate']]).toEqual([
        401,
        'Bearer realm="http://registry.example/auth/token"'
      ])
      expect(answer.headers['docker-distribution-api-version']).toBe('registry/2.0')
      expect((await client.head(path)).headers).toHaveProperty('www-authenticate')
      expect((await client.get(path, basic('nobody'))).status).toBe(200)
      expect((await client.get(path, bearer(''))).status).toBe(200)
      expect((await client.get(path, basic('alice', 'wrong'))).status).toBe(401)
    }
  })

  it('tells that a token is wrong', async () => {
    const { client } = await start()
    const answer = await client.get('/v2/', { authorization: 'Bearer nonsense' })
    expect(answer.headers['www-authenticate']).toContain('error="invalid_token"')
  })

  it('sends those who guess too much away', async () => {
    const { client } = await start()
    for (const path of ['/v2/', manifest]) {
      const answer = await client.get(path, basic('flooding'))
      expect([answer.status, answer.headers['retry-after']]).toEqual([429, '5'])
    }
  })
})

describe('a path', () => {
  it.each([
    '/v2/team/app/manifests/1/',
    '/v2//team/app/manifests/1',
    '/v2/team//app/manifests/1',
    '/v2/team%2Fapp/manifests/1',
    '/v2/open/app/../../team/app/manifests/1',
    '/v2/open/app/%2e%2e/%2e%2e/team/app/manifests/1',
    '/v2/team/app/manifests/1;x',
    '/v2/team/app/manifests/1%00',
    '/V2/team/app/manifests/1',
    '/v2/Team/app/manifests/1',
    '//v2/team/app/manifests/1',
    '/v2/team\\app/manifests/1',
    '/./v2/team/app/manifests/1',
    '/v2/_catalog/'
  ])('that is no other way to write one, as %s, shows nothing', async (path) => {
    const { client } = await start()
    for (const headers of [{}, basic('nobody')]) {
      expect([400, 404]).toContain((await client.get(path, headers)).status)
    }
  })

  it.each([
    '/v2/%74eam/app/manifests/1',
    '/v2/localhost:5000/team/app/manifests/1',
    '/v2/registry.example/team/app/manifests/1',
    '/v2/team/app/manifests/1?ns=localhost:5000',
    '/v2/team/app/manifests/1?ns=Registry.Example',
    'http://registry.example/v2/team/app/manifests/1'
  ])('that names the repository in another way, as %s, needs the same right', async (path) => {
    const { client } = await start({ ownHosts: ['registry.example'] })
    expect((await client.get(path)).status).toBe(401)
    expect((await client.get(path, basic('nobody'))).status).toBe(403)
    expect((await client.get(path, basic('puller'))).status).toBe(200)
  })

  it('can not borrow the rights of the repository that its name begins with', async () => {
    const { client } = await start()
    expect((await client.get('/v2/open/app/manifests/app/manifests/1')).status).toBe(401)
    expect((await client.get('/v2/open/app/blobs/uploads/app/manifests/1')).status).toBe(401)
  })
})

describe('a mount', () => {
  const from = (source: string) => `${endpoints('target/app').uploads}?mount=${DIGEST}&from=${source}`
  const access = new FakeAccess({
    'target/app': { alice: ALL, pusher: ['pull', 'create'] },
    [PRIVATE]: { alice: ALL },
    [PUBLIC]: { '*': ['pull'] }
  })

  it('is done from where the caller may pull', async () => {
    const { client, events } = await start({ access })
    expect((await client.send('POST', from(PRIVATE), { headers: basic('alice') })).status).toBe(201)
    expect((await client.send('POST', from(PUBLIC), { headers: basic('pusher') })).status).toBe(201)
    expect(events).toMatchObject([
      { action: 'mount', from: PRIVATE, actor: 'alice' },
      { from: PUBLIC, actor: 'pusher' }
    ])
  })

  it('from elsewhere is answered as if there were no such repository', async () => {
    const { client, backend } = await start({ access })
    const [forbidden, absent, unnamed] = await Promise.all(
      [from(PRIVATE), from('nowhere/app'), from(PRIVATE).replace(/&from=.*/, '')].map((path) =>
        client.send('POST', path, { headers: basic('pusher') })
      )
    )
    const seen = (answer: typeof forbidden) => [
      answer?.status,
      Object.keys(answer?.headers ?? {}),
      answer?.headers.range,
      answer?.body.toString()
    ]
    expect(forbidden?.status).toBe(202)
    expect(seen(forbidden)).toEqual(seen(absent))
    expect(seen(unnamed)).toEqual(seen(absent))
    expect(await backend.blobs.stat('target/app' as Repository, DIGEST, AbortSignal.timeout(1000))).toBeUndefined()
  })

  it('does not ask the backend about a source that the caller may not see', async () => {
    const asked: unknown[] = []
    const { client } = await startRegistry({ access }, (backend) => ({
      blobs: {
        ...backend.blobs,
        mount: async (...question) => {
          asked.push(question)
          return false
        }
      },
      manifests: backend.manifests,
      tags: backend.tags,
      uploads: backend.uploads,
      catalog: (page) => backend.catalog(page)
    }))
    await client.send('POST', from(PRIVATE), { headers: basic('pusher') })
    await client.send('POST', from(PRIVATE).replace(/&from=.*/, ''), { headers: basic('alice') })
    expect(asked).toEqual([])
  })
})

describe('an upload', () => {
  const shared = new FakeAccess({
    'one/app': { alice: ALL, bob: ALL, '*': ['create'] },
    'two/app': { alice: ALL }
  })
  const KEY = Buffer.alloc(32, 7)

  it('belongs to whoever began it, in its repository', async () => {
    const { client } = await startRegistry({ access: shared, sealingKey: KEY })
    const begun = await client.send('POST', endpoints('one/app').uploads, { headers: basic('alice') })
    const location = begun.headers.location ?? ''
    expect((await client.get(location, basic('alice'))).status).toBe(204)
    const strangers = [
      [location, basic('bob')],
      [location, {}],
      [location.replace('one/app', 'two/app'), basic('alice')],
      [location.slice(0, location.lastIndexOf('-')), basic('alice')],
      [`${location.slice(0, -1)}${location.endsWith('0') ? '1' : '0'}`, basic('alice')],
      [`${location}0`, basic('alice')]
    ] as const
    for (const method of ['GET', 'PATCH', 'PUT', 'DELETE']) {
      for (const [path, headers] of strangers) {
        const answer = await client.send(method, path, { headers })
        expect([method, path, answer.status, answer.errorCode()]).toEqual([method, path, 404, 'BLOB_UPLOAD_UNKNOWN'])
      }
    }
    const end = await client.send('PUT', `${location}?digest=${DIGEST}`, { headers: basic('alice'), body: EMPTY })
    expect(end.status).toBe(201)
  })

  it('of nobody in particular is nobody’s who has a name', async () => {
    const { client } = await startRegistry({ access: shared, sealingKey: KEY })
    const { headers } = await client.send('POST', endpoints('one/app').uploads)
    const location = headers.location ?? ''
    expect((await client.get(location, basic('alice'))).status).toBe(404)
    expect((await client.get(location)).status).toBe(204)
  })

  it('is known again by a registry with the same key, and by no other', async () => {
    const first = await startRegistry({ access: shared, sealingKey: KEY })
    const { headers } = await first.client.send('POST', endpoints('one/app').uploads, { headers: basic('alice') })
    const sameStore = (): typeof first.backend => first.backend
    const again = await startRegistry({ access: shared, sealingKey: KEY }, sameStore)
    const other = await startRegistry({ access: shared }, sameStore)
    const location = headers.location ?? ''
    expect((await again.client.get(location, basic('alice'))).status).toBe(204)
    expect((await other.client.get(location, basic('alice'))).status).toBe(404)
  })
})

describe('the catalogue', () => {
  const names = Array.from({ length: 30 }, (_, index) => `r${String(index).padStart(2, '0')}/app`)
  const access = new FakeAccess({
    ...Object.fromEntries(names.filter((_, index) => index % 7 === 3).map((name) => [name, { alice: ['pull'] }])),
    'r03/app': { '*': ['pull'] },
    'r29/app': { alice: ['pull'] },
    'r05/app': { alice: ['create', 'update', 'delete'] }
  })
  const visible = ['r03/app', 'r10/app', 'r17/app', 'r24/app', 'r29/app']

  async function startFull(options: Parameters<typeof startRegistry>[0] = {}) {
    const registry = await startRegistry({ access, ...options })
    for (const name of names) registry.backend.addBlob(name as Repository, EMPTY)
    return registry
  }

  /** Follows the links; tells the pages and what the links said. */
  async function pages(client: Awaited<ReturnType<typeof startFull>>['client'], first: string, user: string) {
    const found: string[][] = []
    const links: string[] = []
    for (let path: string | undefined = first; path !== undefined; ) {
      const answer = await client.get(path, basic(user))
      expect(answer.status).toBe(200)
      found.push((answer.json() as { repositories: string[] }).repositories)
      path = /^<(.*)>; rel="next"$/.exec(String(answer.headers.link))?.[1]
      if (path !== undefined) links.push(path)
    }
    return { found, links }
  }

  it.each([1, 2, 4, 5, 100])('shows what the caller may pull, %i at a time', async (n) => {
    const { client } = await startFull()
    const { found } = await pages(client, `/v2/_catalog?n=${n}`, 'alice')
    expect(found.flat()).toEqual(visible)
    expect(found.slice(0, -1).every((page) => page.length === n)).toBe(true)
    expect(found.at(-1)?.length).toBeGreaterThan(0)
  })

  it('looks through so many for one page and no more, and its links name nothing that is hidden', async () => {
    const asked: number[] = []
    const { client } = await startRegistry({ access, maxCatalogScan: 4, maxPageSize: 3 }, (backend) => {
      for (const name of names) backend.addBlob(name as Repository, EMPTY)
      return {
        blobs: backend.blobs,
        manifests: backend.manifests,
        tags: backend.tags,
        uploads: backend.uploads,
        catalog: (page) => {
          asked.push(page.limit)
          return backend.catalog(page)
        }
      }
    })
    const { found, links } = await pages(client, '/v2/_catalog', 'alice')
    expect(found.flat()).toEqual(visible)
    expect(found.length).toBeGreaterThan(7)
    expect(asked.reduce((sum, limit) => sum + limit, 0)).toBeLessThanOrEqual(found.length * 4)
    for (const name of names.filter((each) => !visible.includes(each))) {
      for (const link of links) expect(decodeURIComponent(link)).not.toContain(name)
    }
    const forged = await client.get('/v2/_catalog?last=~AAAA', basic('alice'))
    expect([forged.status, forged.errorCode()]).toEqual([400, 'NAME_INVALID'])
  })

  it('begins where it is asked to', async () => {
    const { client } = await startFull()
    const answer = await client.get('/v2/_catalog?last=r10/app', basic('alice'))
    expect(answer.json()).toEqual({ repositories: visible.slice(2) })
    expect((await client.get('/v2/_catalog?n=0', basic('alice'))).json()).toEqual({ repositories: [] })
  })

  it('shows strangers what everybody may see, and asks them who they are when that is nothing', async () => {
    const open = await startFull()
    expect((await open.client.get('/v2/_catalog')).json()).toEqual({ repositories: ['r03/app'] })
    const closed = await startRegistry({ access: new FakeAccess({}) })
    closed.backend.addBlob(PRIVATE, EMPTY)
    const answer = await closed.client.get('/v2/_catalog')
    expect([answer.status, answer.headers['www-authenticate']]).toEqual([401, expect.stringContaining('realm=')])
    expect((await closed.client.get('/v2/_catalog', basic('nobody'))).json()).toEqual({ repositories: [] })
  })
})

describe.each([
  ['the mirror', 'mirror', '/v2/team/app'],
  ['mirrored content on the registry, by ns', 'registry', '/v2/team/closed'],
  ['mirrored content on the registry, by its path', 'registry', '/v2/docker.io/team/closed']
] as const)('%s', (_, face, base) => {
  const query = face === 'registry' && !base.includes('docker.io') ? '?ns=docker.io' : ''
  const paths = [
    `manifests/1`,
    `manifests/${digestOf(MANIFEST)}`,
    `blobs/${DIGEST}`,
    'tags/list',
    `referrers/${DIGEST}`
  ]

  it('never asks who somebody is', async () => {
    const { client } = await start({ face })
    for (const headers of [{}, basic('nobody'), basic('alice', 'wrong'), basic('flooding'), bearer('alice')]) {
      for (const path of paths) {
        for (const method of ['GET', 'HEAD']) {
          const answer = await client.send(method, `${base}/${path}${query}`, { headers })
          expect([answer.status, answer.headers['www-authenticate']]).toEqual([404, undefined])
        }
      }
    }
  })

  it('shows what is allowed to whom credentials prove', async () => {
    const { client } = await start({ face })
    for (const path of paths) expect((await client.get(`${base}/${path}${query}`, basic('alice'))).status).toBe(200)
  })

  it.each(['UNAUTHORIZED', 'DENIED'] as const)('tells %s of the backend as unknown', async (code) => {
    const fail = () => Promise.reject(new OciError(code, 'no'))
    const { client } = await startRegistry({ access: ACCESS, face }, (backend) => ({
      blobs: { ...backend.blobs, open: fail, stat: fail },
      manifests: backend.manifests,
      tags: backend.tags,
      uploads: backend.uploads,
      catalog: (page) => backend.catalog(page)
    }))
    const answer = await client.get(`${base}/blobs/${DIGEST}${query}`, basic('alice'))
    expect([answer.status, answer.errorCode()]).toEqual([404, 'NAME_UNKNOWN'])
  })

  it('refuses writes without a challenge', async () => {
    const { client } = await start({ face })
    for (const [method, path] of [
      ['POST', 'blobs/uploads/'],
      ['PUT', 'manifests/1'],
      ['DELETE', 'manifests/1']
    ] as const) {
      const answer = await client.send(method, `${base}/${path}${query}`, body(method))
      expect([answer.status, answer.headers['www-authenticate']]).toEqual([face === 'mirror' ? 405 : 403, undefined])
    }
  })
})

describe('the mirror', () => {
  it('is there for all', async () => {
    const { client } = await start({ face: 'mirror' })
    for (const headers of [{}, basic('alice', 'wrong')]) {
      expect((await client.get('/v2/', headers)).status).toBe(200)
      expect((await client.get(endpoints(PUBLIC).manifest, headers)).status).toBe(200)
      expect((await client.get('/v2/_catalog', headers)).json()).toEqual({ repositories: [MIRRORED, PUBLIC] })
    }
  })

  it('takes no pushes and no deletions, from nobody', async () => {
    for (const options of [{}, { access: undefined as never }]) {
      const { client } = await start({ face: 'mirror', deletes: true, readOnly: false, ...options })
      for (const [method, path] of REQUESTS.filter(([verb]) => !['GET', 'HEAD'].includes(verb))) {
        expect((await send(client, method, path, basic('alice'))).status).toBe(405)
      }
    }
  })
})

describe('a registry with access control', () => {
  it('says 200 at the base to whoever asks for the mirror of another registry', async () => {
    const { client } = await start()
    expect((await client.get('/v2/?ns=docker.io')).status).toBe(200)
  })

  it('refuses all writes when it is read-only, and deletions when these are off, also to those who may', async () => {
    const all = new FakeAccess({ [PRIVATE]: { alice: ALL } })
    for (const [method, path] of REQUESTS.filter(([verb]) => !['GET', 'HEAD'].includes(verb))) {
      const readOnly = await start({ access: all, readOnly: true })
      expect([method, path, (await send(readOnly.client, method, path, basic('alice'))).status]).toEqual([
        method,
        path,
        405
      ])
      if (method !== 'DELETE' || path === upload) continue
      const lasting = await start({ access: all, deletes: false })
      expect((await send(lasting.client, method, path, basic('alice'))).status).toBe(405)
    }
  })

  it('sends no header that lets scripts of other sites read it', async () => {
    const { client } = await start()
    for (const method of ['GET', 'OPTIONS']) {
      const headers = { origin: 'https://evil.example', 'access-control-request-method': 'GET', ...basic('alice') }
      const answer = await client.send(method, manifest, { headers })
      expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control-'))).toEqual([])
    }
  })

  it('logs no credential', async () => {
    const { client, log } = await start()
    const secret = 'sesame-8f2a'
    const userInfo = `http://alice:${secret}@registry.example${manifest}`
    for (const path of [manifest, `${manifest}?access_token=${secret}&n=1`, userInfo]) {
      await client.get(path, basic('alice', secret))
      await client.get(path, { authorization: `Bearer ${secret}` })
    }
    expect(log.length).toBeGreaterThan(5)
    const text = JSON.stringify(log, (_key, value) => (value instanceof Error ? `${value.stack}${value.cause}` : value))
    expect(text).not.toContain(secret)
    expect(text).not.toContain(Buffer.from(`alice:${secret}`).toString('base64'))
    expect(text).toContain('manifests/1?n=1')
  })

  it('passes on what the client showed, and the address that its proxy tells', async () => {
    const access = new FakeAccess({})
    const direct = await startRegistry({ access })
    await direct.client.get('/v2/', { ...basic('alice'), 'x-forwarded-for': '10.0.0.9' })
    expect(access.proofs.at(-1)).toEqual({ ...basic('alice'), certificate: undefined, address: '127.0.0.1' })
    const proxied = await startRegistry({ access, behindTlsProxy: true })
    const answer = await proxied.client.get('/v2/', {
      host: 'registry.example',
      'x-forwarded-for': '1.2.3.4, 10.0.0.9'
    })
    expect(access.proofs.at(-1)?.address).toBe('10.0.0.9')
    expect(answer.headers['www-authenticate']).toContain('https://registry.example/')
    await proxied.client.get('/v2/', { 'x-forwarded-for': 'nonsense' })
    expect(access.proofs.at(-1)?.address).toBe('127.0.0.1')
  })
})

it('is not slowed down without access control: nothing is asked, nothing encrypted, ids stay as they are', async () => {
  const { client, backend } = await startRegistry()
  const { headers } = await client.send('POST', uploads, { headers: basic('alice', 'wrong') })
  const id = headers.location?.split('/').at(-1) ?? ''
  expect(await backend.uploads.get(PRIVATE, id)).toBeDefined()
})

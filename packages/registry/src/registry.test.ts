import { digestOf, OciError, type Repository, type Tag } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import type { RegistryBackend } from './interfaces.ts'
import { createRegistry } from './registry.ts'
import { imageManifest } from './testing/images.ts'
import { MemoryBackend } from './testing/memory-backend.ts'
import { startRegistry } from './testing/start.ts'

const APP = 'team/app' as Repository
const EMPTY = Buffer.from('{}')
const BLOB = `/v2/team/app/blobs/${digestOf(EMPTY)}`
const TAG = '/v2/team/app/manifests/1'
const MANIFEST = `/v2/team/app/manifests/${digestOf(imageManifest(EMPTY, []))}`
const SESSIONS = '/v2/team/app/blobs/uploads/'

/** A backend in which every question ends with `error`. */
const failing =
  (error: unknown) =>
  (backend: MemoryBackend): RegistryBackend => {
    const fail = () => Promise.reject(error)
    return {
      blobs: { stat: fail, open: fail, mount: fail, delete: fail },
      manifests: { get: fail, put: fail, delete: fail, referrers: fail },
      tags: { resolve: fail, delete: fail, list: fail },
      uploads: { create: fail, get: fail },
      catalog: (page) => backend.catalog(page)
    }
  }

async function startWithImage(options: Parameters<typeof startRegistry>[0]) {
  const registry = await startRegistry(options)
  registry.backend.addBlob(APP, EMPTY)
  registry.backend.addManifest(APP, imageManifest(EMPTY, []), '1' as Tag)
  return registry
}

describe('the base', () => {
  it('says that this is a registry', async () => {
    const { client } = await startRegistry()
    for (const path of ['/v2/', '/v2', '/v2/?x=y']) {
      const answer = await client.get(path)
      expect([answer.status, answer.headers['content-type'], answer.body.toString()]).toEqual([
        200,
        'application/json',
        '{}'
      ])
      expect(answer.headers['docker-distribution-api-version']).toBe('registry/2.0')
      expect(answer.headers).not.toHaveProperty('etag')
      const head = await client.head(path)
      expect([head.status, head.headers['content-length'], head.body.length]).toEqual([200, '2', 0])
    }
  })

  it.each(['/', '/v1/', '/V2/', '/v2/team', '/v2/team/app/tags/list/', '/v2/_oci/ext/discover', '/favicon.ico'])(
    'has nothing at %s',
    async (path) => {
      const { client } = await startRegistry()
      const answer = await client.get(path)
      expect([answer.status, answer.errorCode()]).toEqual([404, 'UNSUPPORTED'])
    }
  )

  it.each([
    ['/v2/team%2fapp/manifests/1', 400, 'NAME_INVALID'],
    ['/v2/team/../app/manifests/1', 400, 'NAME_INVALID'],
    ['/v2/%/manifests/1', 400, 'NAME_INVALID'],
    ['/v2/Team/manifests/1', 400, 'NAME_INVALID'],
    ['/v2/team/app/manifests/1?ns=%', 400, 'NAME_INVALID'],
    ['/v2/team/app/manifests/1?ns=nowhere', 404, 'NAME_UNKNOWN'],
    ['/v2/team/app/manifests/1?ns=http://169.254.169.254/', 404, 'NAME_UNKNOWN'],
    ['/v2/team/app/manifests/1?ns=ghcr.io&ns=quay.io', 404, 'NAME_UNKNOWN']
  ])('refuses %s with %i %s', async (path, status, code) => {
    const { client } = await startRegistry()
    const answer = await client.get(path)
    expect([answer.status, answer.errorCode()]).toEqual([status, code])
    expect(answer.headers).not.toHaveProperty('oci-namespace')
  })

  it('refuses to start under a name that is no host', () => {
    const log = { debug() {}, info() {}, warn() {}, error() {} }
    const components = { backend: new MemoryBackend(), log }
    expect(() => createRegistry(components, { ownHosts: ['https://x'] })).toThrow(
      expect.objectContaining({ code: 'NAME_INVALID' })
    )
  })
})

describe('methods', () => {
  const writes = [
    ['POST', SESSIONS],
    ['PATCH', `${SESSIONS}id`],
    ['PUT', `${SESSIONS}id`],
    ['DELETE', `${SESSIONS}id`],
    ['PUT', TAG],
    ['PUT', MANIFEST],
    ['DELETE', TAG],
    ['DELETE', MANIFEST],
    ['DELETE', BLOB]
  ] as const

  it.each(writes)('%s %s is refused when the registry is read-only', async (method, path) => {
    const { client } = await startWithImage({ readOnly: true, deletes: true })
    const answer = await client.send(method, path, method === 'DELETE' ? {} : { body: 'x' })
    expect([answer.status, answer.errorCode()]).toEqual([405, 'UNSUPPORTED'])
    expect(answer.headers.allow).not.toContain(method)
    for (const read of [TAG, MANIFEST, BLOB]) expect((await client.get(read)).status).toBe(200)
  })

  it.each([TAG, MANIFEST, BLOB])('DELETE %s is refused when deletes are off', async (path) => {
    const { client } = await startWithImage({ deletes: false })
    const answer = await client.send('DELETE', path)
    expect([answer.status, answer.errorCode()]).toEqual([405, 'UNSUPPORTED'])
    expect((await client.get(path)).status).toBe(200)
    const { headers } = await client.send('POST', SESSIONS)
    expect((await client.send('DELETE', headers.location ?? '')).status).toBe(204)
  })

  it.each([
    ['POST', '/v2/', 'GET, HEAD'],
    ['OPTIONS', TAG, 'GET, HEAD, PUT, DELETE'],
    ['PUT', BLOB, 'GET, HEAD, DELETE'],
    ['GET', SESSIONS, 'POST'],
    ['POST', '/v2/_catalog', 'GET, HEAD'],
    ['DELETE', '/v2/team/app/tags/list', 'GET, HEAD']
  ])('%s %s is refused, and the others are named', async (method, path, allow) => {
    const { client } = await startRegistry()
    const answer = await client.send(method, path)
    expect([answer.status, answer.headers.allow]).toEqual([405, allow])
  })
})

describe('failures', () => {
  it('that nobody foresaw are told without what they are, and logged with the same id', async () => {
    const { client, log } = await startRegistry({}, failing(new Error('EACCES: /secret/path')))
    const answer = await client.get(BLOB)
    expect([answer.status, answer.errorCode()]).toEqual([500, 'UNKNOWN'])
    expect(answer.body.toString()).not.toContain('secret')
    const { errors } = answer.json() as { errors: { detail: { id: string } }[] }
    expect(errors[0]?.detail.id).toMatch(/^[0-9a-f]{16}$/)
    const logged = log.filter(({ level }) => level === 'error')
    expect(logged).toMatchObject([{ fields: { path: BLOB, detail: errors[0]?.detail } }])
  })

  it.each(['DISK_FULL', 'BLOB_CORRUPT', 'DOWNLOAD_FAILED'])('%s is told as UNAVAILABLE', async (code) => {
    const { client, log } = await startRegistry({}, failing(Object.assign(new Error('/secret/path'), { code })))
    const push = await client.send('POST', SESSIONS)
    expect([push.status, push.errorCode()]).toEqual([503, 'UNAVAILABLE'])
    expect(push.body.toString()).not.toContain('secret')
    expect(log.filter(({ level }) => level === 'error' || level === 'warn')).toHaveLength(1)
  })

  it('that have a cause are told by it, and logged with it', async () => {
    const cause = Object.assign(new Error('/secret/path'), { code: 'DISK_FULL' })
    const failure = Object.assign(new Error('the download failed', { cause }), { code: 'DOWNLOAD_FAILED' })
    const { client, log } = await startRegistry({}, failing(failure))
    const answer = await client.get(BLOB)
    expect([answer.status, answer.errorCode()]).toEqual([503, 'UNAVAILABLE'])
    expect(answer.body.toString()).toMatch(/no space left/)
    expect(log.filter(({ level }) => level === 'error')).toMatchObject([{ fields: { path: BLOB, err: failure } }])
  })

  it.each([
    ['UNAUTHORIZED', 404, 403],
    ['TOOMANYREQUESTS', 503, 429],
    ['DENIED', 403, 403],
    ['UNAVAILABLE', 503, 503]
  ] as const)('%s of the backend is %i to a pull and %i to a push', async (code, pull, push) => {
    const { client } = await startRegistry({}, failing(new OciError(code, 'no')))
    for (const path of [BLOB, TAG, MANIFEST, '/v2/team/app/tags/list']) {
      const answer = await client.get(path)
      expect(answer.status).toBe(pull)
      expect(answer.headers).not.toHaveProperty('www-authenticate')
      expect((await client.head(path)).status).toBe(pull)
    }
    expect((await client.send('POST', SESSIONS)).status).toBe(push)
  })

  it('of a listener for events change no answer to a pull', async () => {
    const { client, backend, log } = await startRegistry({}, undefined, () => {
      throw new Error('the listener failed')
    })
    backend.addBlob(APP, EMPTY)
    expect((await client.get(BLOB)).body.toString()).toBe('{}')
    const failed = () => log.filter(({ level }) => level === 'error').map(({ fields }) => fields.event)
    await expect.poll(failed).toMatchObject([{ action: 'pull', target: 'blob' }])
  })

  it('in time: a pull that nobody answers ends with 503, a push may take as long as it needs', async () => {
    const { promise, resolve } = Promise.withResolvers<undefined>()
    const hanging = (backend: MemoryBackend): RegistryBackend => ({
      blobs: { ...backend.blobs, stat: () => promise },
      manifests: { ...backend.manifests, put: () => promise, get: () => promise },
      tags: backend.tags,
      uploads: backend.uploads,
      catalog: (page) => backend.catalog(page)
    })
    const { client } = await startRegistry({ answerTimeoutMs: 50 }, hanging)
    const push = client.send('PUT', TAG, { body: imageManifest(EMPTY, []) })
    const answer = await client.get(MANIFEST)
    expect([answer.status, answer.errorCode()]).toEqual([503, 'UNAVAILABLE'])
    expect((await client.head(BLOB)).status).toBe(503)
    resolve(undefined)
    expect((await push).status).toBe(201)
  })
})

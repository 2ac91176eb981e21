import { digestOf, OciError, type Repository } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import { basic, FakeAccess } from './testing/fake-access.ts'
import { imageManifest } from './testing/images.ts'
import { startRegistry } from './testing/start.ts'

const APP = 'team/app' as Repository
const EMPTY = Buffer.from('{}')
const DIGEST = digestOf(EMPTY)
const PUSH = `/v2/team/app/blobs/uploads/?digest=${DIGEST}`

describe('an event', () => {
  it('tells of the request and of the content', async () => {
    const { client, events } = await startRegistry()
    await client.send('POST', PUSH, { body: EMPTY, headers: { 'User-Agent': 'test/1', Host: 'registry.example' } })
    expect(events).toEqual([
      {
        action: 'push',
        target: 'blob',
        repository: APP,
        digest: DIGEST,
        size: 2,
        bytes: 2,
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        actor: undefined,
        method: 'POST',
        host: 'registry.example',
        remoteAddress: '127.0.0.1',
        userAgent: 'test/1'
      }
    ])
  })

  it('has the id of its request: one for all tags of a push, another for the next', async () => {
    const { client, backend, events } = await startRegistry()
    backend.addBlob(APP, EMPTY)
    const body = imageManifest(EMPTY, [])
    for (const tags of ['tag=1&tag=2', 'tag=3']) {
      await client.send('PUT', `/v2/team/app/manifests/${digestOf(body)}?${tags}`, { body })
    }
    const [first, second, third] = events.map(({ id }) => id)
    expect(second).toBe(first)
    expect(third).not.toBe(first)
    expect(events).toMatchObject([{ tag: '1' }, { tag: '2' }, { tag: '3' }])
  })

  it('of a mount names the source', async () => {
    const { client, backend, events } = await startRegistry()
    backend.addBlob('team/other' as Repository, EMPTY)
    await client.send('POST', `/v2/team/app/blobs/uploads/?mount=${DIGEST}&from=team/other`)
    expect(events).toMatchObject([{ action: 'mount', from: 'team/other', repository: APP }])
  })
})

describe('the answer', () => {
  const writes = [
    ['POST', PUSH, 201],
    ['POST', `/v2/team/app/blobs/uploads/?mount=${DIGEST}&from=team/other`, 201],
    ['PUT', '/v2/team/app/manifests/new', 201],
    ['DELETE', '/v2/team/app/manifests/old', 202],
    ['DELETE', `/v2/team/app/blobs/${DIGEST}`, 202]
  ] as const

  async function start(listener: () => Promise<void>) {
    const registry = await startRegistry({ recordTimeoutMs: 50 }, undefined, listener)
    const manifest = imageManifest(EMPTY, [])
    registry.backend.addBlob(APP, EMPTY)
    registry.backend.addBlob('team/other' as Repository, EMPTY)
    registry.backend.addManifest(APP, manifest, 'old' as never)
    const body = (method: string) => (method === 'PUT' ? { body: manifest } : method === 'POST' ? { body: EMPTY } : {})
    const send = (method: string, path: string) => registry.client.send(method, path, body(method))
    return { ...registry, send }
  }

  it.each(writes)('to %s %s waits until its event was recorded', async (method, path, status) => {
    const recorded = Promise.withResolvers<void>()
    const reached = Promise.withResolvers<void>()
    const { send } = await start(() => {
      reached.resolve()
      return recorded.promise
    })
    let answered = false
    const answer = send(method, path).finally(() => {
      answered = true
    })
    await reached.promise
    await new Promise((resolve) => setImmediate(resolve))
    expect(answered).toBe(false)
    recorded.resolve()
    expect((await answer).status).toBe(status)
  })

  it.each(writes)('to %s %s is 503 when its event could not be recorded', async (method, path) => {
    const { send, log } = await start(() => Promise.reject(new Error('disk full: /secret')))
    const answer = await send(method, path)
    expect([answer.status, answer.errorCode()]).toEqual([503, 'UNAVAILABLE'])
    expect(answer.body.toString()).not.toContain('secret')
    expect(log.filter(({ level }) => level === 'error')).toMatchObject([{ fields: { event: { actor: undefined } } }])
  })

  it('is 503 when the event is not recorded in time', async () => {
    const { send } = await start(() => new Promise(() => {}))
    expect((await send('DELETE', '/v2/team/app/manifests/old')).status).toBe(503)
  })

  it('to a pull waits for nobody', async () => {
    const { client } = await start(() => new Promise(() => {}))
    expect((await client.get('/v2/team/app/manifests/old')).status).toBe(200)
    expect((await client.get(`/v2/team/app/blobs/${DIGEST}`)).status).toBe(200)
  })
})

describe('a refusal', () => {
  const access = new FakeAccess({ [APP]: { reader: ['pull'], '*': [] } })
  const asReader = { headers: basic('reader') }

  it('is told with who was refused what', async () => {
    const { client, refusals, events } = await startRegistry({ access })
    await client.send('PUT', '/v2/team/app/manifests/1', { body: imageManifest(EMPTY, []), ...asReader })
    await client.send('DELETE', `/v2/team/app/blobs/${DIGEST}`, asReader)
    await client.send('GET', '/v2/team/other/manifests/1', asReader)
    expect(refusals).toMatchObject([
      { action: 'push', repository: APP, reference: '1', actor: 'reader', remoteAddress: '127.0.0.1', method: 'PUT' },
      { action: 'delete', repository: APP, reference: DIGEST, reason: expect.any(String) },
      { action: 'pull', repository: 'team/other', reference: '1' }
    ])
    expect(events).toEqual([])
  })

  it('is not told of those who are asked to log in, nor of what is not there', async () => {
    const { client, refusals } = await startRegistry({ access })
    expect((await client.send('GET', '/v2/team/app/manifests/1')).status).toBe(401)
    expect((await client.send('GET', '/v2/team/app/manifests/1', asReader)).status).toBe(404)
    expect(refusals).toEqual([])
  })

  it('is told of what the node behind refuses', async () => {
    const { client, backend, refusals } = await startRegistry({}, (given) => ({
      ...given,
      blobs: given.blobs,
      uploads: given.uploads,
      manifests: given.manifests,
      catalog: given.catalog,
      tags: { ...given.tags, delete: () => Promise.reject(new OciError('DENIED', 'the tag is immutable')) }
    }))
    backend.addManifest(APP, imageManifest(EMPTY, []), 'old' as never)
    await client.send('DELETE', '/v2/team/app/manifests/old')
    expect(refusals).toMatchObject([{ action: 'delete', reference: 'old', reason: 'the tag is immutable' }])
  })
})

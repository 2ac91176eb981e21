import { describe, expect, it } from 'vitest'
import { ALL, endpoints, PRIVATE, REQUESTS, send, startWithAccess } from '../testing/access-fixture.ts'
import { basic, FakeAccess } from '../testing/fake-access.ts'
import { startRegistry } from '../testing/start.ts'

const { manifest, upload, uploads } = endpoints(PRIVATE)

describe('a registry with access control', () => {
  it('says 200 at the base to whoever asks for the mirror of another registry', async () => {
    const { client } = await startWithAccess()
    expect((await client.get('/v2/?ns=docker.io')).status).toBe(200)
  })

  it('refuses all writes when it is read-only, and deletions when these are off, also to those who may', async () => {
    const all = new FakeAccess({ [PRIVATE]: { alice: ALL } })
    for (const [method, path] of REQUESTS.filter(([verb]) => !['GET', 'HEAD'].includes(verb))) {
      const readOnly = await startWithAccess({ access: all, readOnly: true })
      expect([method, path, (await send(readOnly.client, method, path, basic('alice'))).status]).toEqual([
        method,
        path,
        405
      ])
      if (method !== 'DELETE' || path === upload) continue
      const lasting = await startWithAccess({ access: all, deletes: false })
      expect((await send(lasting.client, method, path, basic('alice'))).status).toBe(405)
    }
  })

  it('sends no header that lets scripts of other sites read it', async () => {
    const { client } = await startWithAccess()
    for (const method of ['GET', 'OPTIONS']) {
      const headers = { origin: 'https://evil.example', 'access-control-request-method': 'GET', ...basic('alice') }
      const answer = await client.send(method, manifest, { headers })
      expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control-'))).toEqual([])
    }
  })

  it('logs no credential', async () => {
    const { client, log } = await startWithAccess()
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

  it('logs who was refused what, and from where', async () => {
    const { client, log } = await startWithAccess()
    await client.send('DELETE', manifest, { headers: basic('puller') })
    const { fields } = log.find(({ level }) => level === 'info') ?? {}
    expect(fields).toMatchObject({ actor: 'puller', method: 'DELETE', path: manifest, remoteAddress: '127.0.0.1' })
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

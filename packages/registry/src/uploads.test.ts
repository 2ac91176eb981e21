import { randomBytes } from 'node:crypto'
import type { OutgoingHttpHeaders } from 'node:http'
import { digestOf, OciError, type Repository } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import type { RegistryBackend, UploadSession } from './interfaces.ts'
import type { RegistryOptions } from './options.ts'
import type { TestClient } from './testing/client.ts'
import type { MemoryBackend } from './testing/memory-backend.ts'
import { startRegistry } from './testing/start.ts'

const APP = 'team/app' as Repository
const OTHER = 'team/other' as Repository
const START = '/v2/team/app/blobs/uploads/'

async function open(client: TestClient, path = START): Promise<string> {
  const { status, headers } = await client.send('POST', path)
  expect(status).toBe(202)
  return headers.location ?? ''
}

const patch = (client: TestClient, location: string, body: Uint8Array, headers: OutgoingHttpHeaders = {}) =>
  client.send('PATCH', location, { body, headers })

const put = (client: TestClient, location: string, digest: string, body?: Uint8Array, range?: string) =>
  client.send('PUT', `${location}${location.includes('?') ? '&' : '?'}digest=${digest}`, {
    ...(body === undefined ? {} : { body }),
    ...(range === undefined ? {} : { headers: { 'content-range': range } })
  })

/** The backend in memory, but its uploads are `uploads`. */
const withUploads =
  (uploads: (backend: MemoryBackend) => RegistryBackend['uploads']) =>
  (backend: MemoryBackend): RegistryBackend => ({
    blobs: backend.blobs,
    manifests: backend.manifests,
    tags: backend.tags,
    uploads: uploads(backend),
    catalog: (page) => backend.catalog(page)
  })

/** A registry that tells when a session began to take its first body. */
async function startNoticing(options: RegistryOptions = {}) {
  const { promise: appending, resolve } = Promise.withResolvers<void>()
  const noticing = (session: UploadSession): UploadSession => ({
    id: session.id,
    get offset() {
      return session.offset
    },
    append: (bytes, how) => {
      resolve()
      return session.append(bytes, how)
    },
    commit: (digest) => session.commit(digest),
    cancel: () => session.cancel()
  })
  const registry = await startRegistry(
    options,
    withUploads(({ uploads }) => ({
      create: async (repository) => noticing(await uploads.create(repository)),
      get: async (repository, id) => {
        const session = await uploads.get(repository, id)
        return session && noticing(session)
      }
    }))
  )
  return { ...registry, appending }
}

describe('pushing a blob', () => {
  it.each(['sha256', 'sha512'] as const)('takes it in one POST, by %s', async (algorithm) => {
    const { client, events, backend } = await startRegistry()
    const body = randomBytes(100_000)
    const digest = digestOf(body, algorithm)
    const answer = await client.send('POST', `${START}?digest=${digest.replace(':', '%3A')}`, { body })
    expect(answer.status).toBe(201)
    expect(answer.headers).toMatchObject({
      location: `/v2/team/app/blobs/${digest}`,
      'docker-content-digest': digest,
      'content-length': '0'
    })
    expect((await client.get(answer.headers.location ?? '')).body.equals(body)).toBe(true)
    expect(events[0]).toMatchObject({ action: 'push', target: 'blob', repository: APP, digest, bytes: 100_000 })
    expect(backend.openUploads).toBe(0)
  })

  it('refuses one POST with other bytes, and keeps nothing of it', async () => {
    const { client, backend } = await startRegistry()
    const digest = digestOf(randomBytes(10))
    const answer = await client.send('POST', `${START}?digest=${digest}`, { body: randomBytes(10) })
    expect([answer.status, answer.errorCode()]).toEqual([400, 'DIGEST_INVALID'])
    expect((await client.head(`/v2/team/app/blobs/${digest}`)).status).toBe(404)
    expect(backend.openUploads).toBe(0)
  })

  it('takes it by POST and PUT, in chunks, with the last one in the PUT', async () => {
    const { client, events } = await startRegistry()
    const body = randomBytes(3000)
    const location = await open(client)
    const first = await patch(client, location, body.subarray(0, 1000), { 'content-range': '0-999' })
    expect(first.status).toBe(202)
    expect(first.headers).toMatchObject({ range: '0-999', 'content-length': '0' })
    expect(first.headers['docker-upload-uuid']).toBeTruthy()
    const next = first.headers.location ?? ''
    const second = await patch(client, next, body.subarray(1000, 2000), { 'content-range': '1000-1999' })
    expect(second.headers.range).toBe('0-1999')
    const done = await put(client, next, digestOf(body), body.subarray(2000), '2000-2999')
    expect(done.status).toBe(201)
    expect((await client.get(done.headers.location ?? '')).body.equals(body)).toBe(true)
    expect((await client.get(next)).status).toBe(404)
    const pushed = events.filter(({ action }) => action === 'push')
    expect(pushed.map(({ digest, bytes }) => [digest, bytes])).toEqual([
      [undefined, 1000],
      [undefined, 1000],
      [digestOf(body), 1000]
    ])
  })

  it('takes a stream of unknown length', async () => {
    const { client } = await startRegistry()
    const body = randomBytes(200_000)
    const location = await open(client)
    const sent = await patch(client, location, body, { 'transfer-encoding': 'chunked' })
    expect([sent.status, sent.headers.range]).toEqual([202, '0-199999'])
    expect((await put(client, location, digestOf(body))).status).toBe(201)
  })

  it('takes the empty blob, whichever way it comes', async () => {
    const { client } = await startRegistry()
    const digest = digestOf(new Uint8Array())
    expect((await client.send('POST', `${START}?digest=${digest}`)).status).toBe(201)
    expect((await put(client, await open(client), digest)).status).toBe(201)
    const location = await open(client)
    expect((await patch(client, location, new Uint8Array())).headers.range).toBe('0-0')
    expect((await put(client, location, digest)).status).toBe(201)
    expect((await client.get(`/v2/team/app/blobs/${digest}`)).status).toBe(200)
  })

  it('keeps a session through a chunk in the wrong place, and takes the right one after it', async () => {
    const { client } = await startRegistry()
    const body = randomBytes(2000)
    const location = await open(client)
    await patch(client, location, body.subarray(0, 1000), { 'content-range': '0-999' })
    for (const range of ['1500-1999', '0-499', '999-1498', 'bytes=0-499', 'x', '5-2']) {
      const refused = await patch(client, location, body.subarray(0, 500), { 'content-range': range })
      expect([range, refused.status, refused.errorCode()]).toEqual([range, 416, 'RANGE_INVALID'])
      expect(refused.headers).toMatchObject({ location, range: '0-999' })
    }
    const status = await client.get(location)
    expect([status.status, status.headers.range, status.headers.location]).toEqual([204, '0-999', location])
    expect(status.body).toHaveLength(0)
    expect((await patch(client, location, body.subarray(1000), { 'content-range': '1000-1999' })).status).toBe(202)
    expect((await put(client, location, digestOf(body))).status).toBe(201)
  })

  it('answers for the session at the address of a PUT that was refused', async () => {
    const { client } = await startRegistry()
    const body = randomBytes(2000)
    const location = await open(client)
    await patch(client, location, body.subarray(0, 1000), { 'content-range': '0-999' })
    const refused = await put(client, location, digestOf(body), body.subarray(1500), '1500-1999')
    expect(refused.status).toBe(416)
    const status = await client.get(`${location}?digest=${digestOf(body)}`)
    expect([status.status, status.headers.range]).toEqual([204, '0-999'])
    expect((await put(client, location, digestOf(body), body.subarray(1000), '1000-1999')).status).toBe(201)
  })

  it('refuses a chunk whose length is not what it tells', async () => {
    const { client } = await startRegistry()
    const location = await open(client)
    const wrong = await patch(client, location, randomBytes(500), { 'content-range': '0-999' })
    expect([wrong.status, wrong.errorCode()]).toEqual([400, 'SIZE_INVALID'])
    const chunked = { 'content-range': '0-999', 'transfer-encoding': 'chunked' }
    expect((await patch(client, location, randomBytes(500), chunked)).errorCode()).toBe('SIZE_INVALID')
    expect((await client.get(location)).headers.range).toBe('0-0')
  })

  it('refuses a PUT without a digest and lets the session live; ends it at a wrong one', async () => {
    const { client } = await startRegistry()
    const body = randomBytes(100)
    const location = await open(client)
    for (const bad of ['', '?digest=', '?digest=sha256:x', '?digest=md5:00']) {
      const answer = await client.send('PUT', `${location}${bad}`, { body })
      expect([answer.status, answer.errorCode()]).toEqual([400, 'DIGEST_INVALID'])
    }
    expect((await client.get(location)).headers.range).toBe('0-0')
    const digest = digestOf(Buffer.from('other'))
    expect((await put(client, location, digest, body)).errorCode()).toBe('DIGEST_INVALID')
    expect((await client.head(`/v2/team/app/blobs/${digest}`)).status).toBe(404)
  })

  it('lets the first of two chunks at once win and never mixes them', async () => {
    const { client, appending } = await startNoticing()
    const location = await open(client)
    const slow = client.raw()
    slow.write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\naaaaa`)
    await appending
    const refused = await patch(client, location, Buffer.from('bbbbb'))
    expect([refused.status, refused.headers.range]).toEqual([416, '0-0'])
    slow.write('aaaaa')
    expect(await slow.closed()).toMatch(/^HTTP\/1.1 202/)
    expect((await put(client, location, digestOf(Buffer.alloc(10, 'a')))).status).toBe(201)
  })

  it('cancels a session', async () => {
    const { client, backend } = await startRegistry()
    const location = await open(client)
    expect((await client.send('DELETE', location)).status).toBe(204)
    for (const method of ['GET', 'PATCH', 'PUT', 'DELETE']) {
      const answer = await client.send(method, `${location}?digest=${digestOf(Buffer.from('x'))}`)
      expect([method, answer.status, answer.errorCode()]).toEqual([method, 404, 'BLOB_UPLOAD_UNKNOWN'])
    }
    expect(backend.openUploads).toBe(0)
  })

  it('knows no session in another repository', async () => {
    const { client } = await startRegistry()
    const location = await open(client)
    expect((await client.get(location.replace('team/app', 'team/other'))).status).toBe(404)
  })

  it('refuses an algorithm that it can not check', async () => {
    const { client } = await startRegistry()
    expect((await client.send('POST', `${START}?digest-algorithm=sha512`)).status).toBe(202)
    expect((await client.send('POST', `${START}?digest-algorithm=blake3`)).errorCode()).toBe('DIGEST_INVALID')
  })

  it('says how long to wait when the backend has too many sessions', async () => {
    const { client } = await startRegistry(
      {},
      withUploads((backend) => ({
        get: backend.uploads.get,
        create: async () => {
          throw new OciError('TOOMANYREQUESTS', 'too many uploads are open')
        }
      }))
    )
    const answer = await client.send('POST', START)
    expect([answer.status, answer.errorCode()]).toEqual([429, 'TOOMANYREQUESTS'])
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0)
  })
})

describe('mounting a blob', () => {
  it('links it from another repository, where it stays when this one deletes it', async () => {
    const { client, backend, events } = await startRegistry()
    const digest = backend.addBlob(OTHER, randomBytes(10), 'sha512')
    const answer = await client.send('POST', `${START}?mount=${digest}&from=team/other`)
    expect(answer.status).toBe(201)
    expect(answer.headers).toMatchObject({ location: `/v2/team/app/blobs/${digest}`, 'docker-content-digest': digest })
    expect(events).toMatchObject([{ action: 'mount', target: 'blob', repository: APP, digest, bytes: 0 }])
    expect((await client.send('DELETE', `/v2/team/app/blobs/${digest}`)).status).toBe(202)
    expect((await client.head(`/v2/team/other/blobs/${digest}`)).status).toBe(200)
  })

  it('finds the source itself when none is named', async () => {
    const { client, backend } = await startRegistry()
    const digest = backend.addBlob(OTHER, randomBytes(10))
    expect((await client.send('POST', `${START}?mount=${digest}`)).status).toBe(201)
  })

  it.each(['&from=team/other', '', '&from=NO-NAME'])('starts a session for what nobody has (%s)', async (from) => {
    const { client } = await startRegistry()
    const body = randomBytes(10)
    const location = await open(client, `${START}?mount=${digestOf(body)}${from}`)
    expect((await put(client, location, digestOf(body), body)).status).toBe(201)
  })

  it('refuses what is no digest', async () => {
    const { client } = await startRegistry()
    expect((await client.send('POST', `${START}?mount=sha256:zz&from=team/other`)).errorCode()).toBe('DIGEST_INVALID')
  })
})

describe('bodies that misbehave', () => {
  it('are given up when the client pauses for too long', async () => {
    const { client } = await startRegistry({ bodyIdleTimeoutMs: 100 })
    const location = await open(client)
    const slow = client.raw()
    slow.write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\naaaaa`)
    expect(await slow.closed()).toMatch(/^HTTP\/1.1 408 .*BLOB_UPLOAD_INVALID/s)
    const manifest = client.raw()
    manifest.write('PUT /v2/team/app/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{')
    expect(await manifest.closed()).toMatch(/^HTTP\/1.1 408 /)
    expect((await put(client, location, digestOf(Buffer.from('ok')), Buffer.from('ok'))).status).toBe(201)
  })

  it('leave the session usable when the client breaks off', async () => {
    const { client, log, appending } = await startNoticing()
    const location = await open(client)
    const broken = client.raw()
    broken.write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\naaaaa`)
    await appending
    broken.reset()
    await expect
      .poll(() => log.map(({ message }) => message))
      .toContain('the client left before its answer was complete')
    expect((await put(client, location, digestOf(Buffer.from('ok')), Buffer.from('ok'))).status).toBe(201)
    expect(log.filter(({ level }) => level !== 'debug')).toEqual([])
  })

  it('end a monolithic push that breaks off, and its session', async () => {
    const { client, backend } = await startRegistry()
    const broken = client.raw()
    broken.write(
      `POST ${START}?digest=${digestOf(Buffer.from('x'))} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\naaaaa`
    )
    await expect.poll(() => backend.openUploads).toBe(1)
    broken.reset()
    await expect.poll(() => backend.openUploads).toBe(0)
  })

  it('are let in up to a number, others told to wait', async () => {
    const { client, appending } = await startNoticing({ maxConcurrentUploadBodies: 1 })
    const other = await open(client)
    const slow = client.raw()
    slow.write(
      `PATCH ${await open(client)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\naaaaa`
    )
    await appending
    const refused = await patch(client, other, Buffer.from('x'))
    expect([refused.status, refused.errorCode()]).toEqual([429, 'TOOMANYREQUESTS'])
    slow.write('aaaaa')
    await slow.closed()
    expect((await patch(client, other, Buffer.from('x'))).status).toBe(202)
  })

  it('that are refused are read no further than needed, and the answer still arrives', async () => {
    const { client } = await startRegistry({ maxDiscardedBytes: 100_000, discardTimeoutMs: 600_000 })
    const path = '/v2/team/app/blobs/uploads/none'
    const short = client.raw()
    short.write(`PATCH ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\naaaaa`)
    short.write('GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    expect(await short.closed()).toMatch(/404 Not Found.*200 OK/s)
    const long = client.raw()
    long.write(`PATCH ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000000\r\n\r\n`)
    expect(await long.until(/BLOB_UPLOAD_UNKNOWN/)).toMatch(/^HTTP\/1.1 404/)
    const more = 'a'.repeat(50_000)
    for (let sent = 0; sent <= 100_000; sent += more.length) long.write(more)
    await long.closed()
  })

  it('that nobody asked for are not read without end either', async () => {
    const { client } = await startRegistry({ maxDiscardedBytes: 1000, discardTimeoutMs: 600_000 })
    const connection = client.raw()
    connection.write(`POST ${START} HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000000\r\n\r\n`)
    await connection.until(/^HTTP\/1.1 202 /)
    connection.write('a'.repeat(2000))
    await connection.closed()
  })

  it('that are refused are not read for ever', async () => {
    const { client } = await startRegistry({ discardTimeoutMs: 50 })
    const slow = client.raw()
    slow.write('PATCH /v2/team/app/blobs/uploads/none HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\na')
    expect(await slow.closed()).toMatch(/^HTTP\/1.1 404/)
  })

  it('are asked for only when they are wanted', async () => {
    const { client } = await startRegistry({ discardTimeoutMs: 600_000 })
    const head = 'Host: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n'
    const refused = client.raw()
    refused.write(`PATCH /v2/team/app/blobs/uploads/none HTTP/1.1\r\n${head}`)
    expect(await refused.closed()).toMatch(/^HTTP\/1.1 404/)
    const wanted = client.raw()
    wanted.write(`PATCH ${await open(client)} HTTP/1.1\r\n${head}`)
    await wanted.until(/^HTTP\/1.1 100 Continue/)
    wanted.write('ok')
    await wanted.until(/HTTP\/1.1 202 Accepted.*Range: 0-1/s)
    wanted.end()
  })
})

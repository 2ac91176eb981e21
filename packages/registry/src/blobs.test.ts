import { randomBytes } from 'node:crypto'
import { digestOf, type Repository } from '@layermesh/oci'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { OpenBlob, RegistryBackend } from './interfaces.ts'
import type { MemoryBackend } from './testing/memory-backend.ts'
import { startRegistry } from './testing/start.ts'

const APP = 'team/app' as Repository
const OTHER = 'team/other' as Repository

/** The backend in memory, but blobs are read by `read`. */
function reading(read: OpenBlob['read']): (backend: MemoryBackend) => RegistryBackend {
  return (backend) => ({
    blobs: {
      ...backend.blobs,
      open: async (repository, digest, signal) => {
        const blob = await backend.blobs.open(repository, digest, signal)
        return blob && { digest, size: blob.size, read }
      }
    },
    manifests: backend.manifests,
    tags: backend.tags,
    uploads: backend.uploads,
    catalog: (page) => backend.catalog(page)
  })
}

describe('pulling blobs', () => {
  it('sends the bytes as they are, with length, digest and what a cache needs', async () => {
    const { client, backend, events } = await startRegistry()
    const bytes = randomBytes(300_000)
    const digest = backend.addBlob(APP, bytes)
    const answer = await client.get(`/v2/team/app/blobs/${digest}`, { 'accept-encoding': 'zstd;q=1.0, gzip;q=0.8' })
    expect(answer.status).toBe(200)
    expect(answer.body.equals(bytes)).toBe(true)
    expect(answer.headers).toMatchObject({
      'content-length': '300000',
      'content-type': 'application/octet-stream',
      'docker-content-digest': digest,
      'docker-distribution-api-version': 'registry/2.0',
      'accept-ranges': 'bytes',
      etag: `"${digest}"`,
      'cache-control': 'max-age=31536000'
    })
    expect(answer.headers).not.toHaveProperty('content-encoding')
    expect(answer.headers).not.toHaveProperty('transfer-encoding')
    expect(answer.headers).not.toHaveProperty('x-powered-by')
    expect(events).toMatchObject([{ action: 'pull', target: 'blob', repository: APP, digest, bytes: 300_000 }])
  })

  it('answers HEAD with the length and no body, and counts no bytes', async () => {
    const { client, backend, events } = await startRegistry()
    const digest = backend.addBlob(APP, randomBytes(1234), 'sha512')
    const answer = await client.head(`/v2/team/app/blobs/${digest}`)
    expect(answer.status).toBe(200)
    expect(answer.headers).toMatchObject({ 'content-length': '1234', 'docker-content-digest': digest })
    expect(answer.body).toHaveLength(0)
    expect(events).toEqual([])
  })

  it.each([
    ['bytes=500-1499', 'bytes 500-1499/2000', 500, 1500],
    ['bytes=500-', 'bytes 500-1999/2000', 500, 2000],
    ['bytes=-500', 'bytes 1500-1999/2000', 1500, 2000],
    ['bytes=1500-9999', 'bytes 1500-1999/2000', 1500, 2000],
    ['bytes=0-0', 'bytes 0-0/2000', 0, 1]
  ])('sends the part %s', async (range, contentRange, start, end) => {
    const { client, backend, events } = await startRegistry()
    const bytes = randomBytes(2000)
    const digest = backend.addBlob(APP, bytes)
    const answer = await client.get(`/v2/team/app/blobs/${digest}`, { range })
    expect(answer.status).toBe(206)
    expect(answer.headers).toMatchObject({ 'content-range': contentRange, 'content-length': String(end - start) })
    expect(answer.body.equals(bytes.subarray(start, end))).toBe(true)
    expect(events[0]?.bytes).toBe(end - start)
  })

  it.each(['bytes=2000-', 'bytes=5000-10000', 'bytes=500-0'])('refuses the part %s with 416', async (range) => {
    const { client, backend } = await startRegistry()
    const digest = backend.addBlob(APP, randomBytes(2000))
    const answer = await client.get(`/v2/team/app/blobs/${digest}`, { range })
    expect(answer.status).toBe(416)
    expect(answer.headers['content-range']).toBe('bytes */2000')
    expect(answer.errorCode()).toBe('RANGE_INVALID')
  })

  it('sends the whole when several parts are asked for, or parts of another version', async () => {
    const { client, backend } = await startRegistry()
    const digest = backend.addBlob(APP, randomBytes(2000))
    for (const headers of [{ range: 'bytes=0-9,20-29' }, { range: 'bytes=0-9', 'if-range': '"other"' }]) {
      const answer = await client.get(`/v2/team/app/blobs/${digest}`, headers)
      expect([answer.status, answer.body.length]).toEqual([200, 2000])
    }
    const same = await client.get(`/v2/team/app/blobs/${digest}`, { range: 'bytes=0-9', 'if-range': `"${digest}"` })
    expect([same.status, same.body.length]).toEqual([206, 10])
  })

  it('sends nothing to a client that holds the blob', async () => {
    const { client, backend } = await startRegistry()
    const digest = backend.addBlob(APP, randomBytes(2000))
    for (const held of [`"${digest}"`, `W/"${digest}"`, `"x", "${digest}"`, '*']) {
      const answer = await client.get(`/v2/team/app/blobs/${digest}`, { 'if-none-match': held })
      expect([answer.status, answer.body.length, answer.headers.etag]).toEqual([304, 0, `"${digest}"`])
    }
    expect((await client.get(`/v2/team/app/blobs/${digest}`, { 'if-none-match': '"x"' })).status).toBe(200)
    const missing = `/v2/team/app/blobs/${digestOf(randomBytes(1))}`
    expect((await client.get(missing, { 'if-none-match': '*' })).status).toBe(404)
  })

  it('serves the empty blob', async () => {
    const { client, backend } = await startRegistry()
    const digest = backend.addBlob(APP, new Uint8Array())
    const answer = await client.get(`/v2/team/app/blobs/${digest}`)
    expect([answer.status, answer.headers['content-length'], answer.body.length]).toEqual([200, '0', 0])
  })

  it('knows no blob of another repository, and says 404 to a manifest’s digest', async () => {
    const { client, backend } = await startRegistry()
    const digest = backend.addBlob(OTHER, randomBytes(10))
    for (const path of [`/v2/team/app/blobs/${digest}`, `/v2/nothing/blobs/${digestOf(randomBytes(9))}`]) {
      const answer = await client.get(path)
      expect([answer.status, answer.errorCode()]).toEqual([404, 'BLOB_UNKNOWN'])
      expect(answer.headers['content-type']).toBe('application/json')
      const head = await client.head(path)
      expect([head.status, head.body.length]).toEqual([404, 0])
    }
  })

  it('deletes a blob in one repository while another still serves it', async () => {
    const { client, backend, events } = await startRegistry()
    const bytes = randomBytes(10)
    const digest = backend.addBlob(APP, bytes)
    backend.addBlob(OTHER, bytes)
    expect((await client.send('DELETE', `/v2/team/app/blobs/${digest}`)).status).toBe(202)
    expect((await client.head(`/v2/team/app/blobs/${digest}`)).status).toBe(404)
    expect((await client.send('DELETE', `/v2/team/app/blobs/${digest}`)).status).toBe(404)
    expect((await client.head(`/v2/team/other/blobs/${digest}`)).status).toBe(200)
    expect(events).toMatchObject([{ action: 'delete', target: 'blob', repository: APP, digest, bytes: 0 }])
  })
})

describe('a blob that arrives while it is pulled', () => {
  it('reaches the client before its end is here', async () => {
    const arrived = Promise.withResolvers<void>()
    const { client, backend } = await startRegistry(
      {},
      reading(async function* () {
        yield Buffer.alloc(1000, 'a')
        await arrived.promise
        yield Buffer.alloc(1000, 'b')
      })
    )
    const digest = backend.addBlob(APP, randomBytes(2000))
    const connection = client.raw()
    connection.write(`GET /v2/team/app/blobs/${digest} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
    expect(await connection.until(/a{1000}/)).not.toMatch(/b{1000}/)
    arrived.resolve()
    expect(await connection.closed()).toMatch(/a{1000}b{1000}$/)
  })

  it('becomes an error answer when it fails before its first byte', async () => {
    const { client, backend, log } = await startRegistry(
      {},
      reading(async function* () {
        yield* [] as Uint8Array[]
        throw Object.assign(new Error('every source failed'), { code: 'DOWNLOAD_FAILED' })
      })
    )
    const digest = backend.addBlob(APP, randomBytes(2000))
    const answer = await client.get(`/v2/team/app/blobs/${digest}`)
    expect([answer.status, answer.errorCode()]).toEqual([503, 'UNAVAILABLE'])
    expect(log.some(({ level }) => level === 'warn')).toBe(true)
  })

  it.each([
    ['fails', [1000], true],
    ['ends too early', [1000], false],
    ['goes on too long', [1000, 1001], false]
  ])('is cut off when it %s, never passed for whole', async (_, lengths, fails) => {
    const { client, backend, events, log } = await startRegistry(
      {},
      reading(async function* () {
        for (const length of lengths) yield Buffer.alloc(length)
        if (fails) throw new Error('the disk is gone')
      })
    )
    const digest = backend.addBlob(APP, randomBytes(2000))
    const connection = client.raw()
    connection.write(`GET /v2/team/app/blobs/${digest} HTTP/1.1\r\nHost: x\r\n\r\n`)
    const [, body = ''] = (await connection.closed()).split('\r\n\r\n')
    expect(body.length).toBeLessThan(2000)
    await expect.poll(() => events).toMatchObject([{ action: 'pull', bytes: 1000 }])
    expect(log.filter(({ level }) => level === 'warn')).toMatchObject([{ message: 'an answer was cut off' }])
  })

  it('is no longer read when the client leaves, which is no error', async () => {
    const ended = Promise.withResolvers<string>()
    const { client, backend, log, events } = await startRegistry(
      {},
      reading(async function* (_, signal) {
        yield Buffer.alloc(1000, 'a')
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))).catch(
          (error) => {
            ended.resolve(error.name)
            throw error
          }
        )
      })
    )
    const digest = backend.addBlob(APP, randomBytes(2000))
    const connection = client.raw()
    connection.write(`GET /v2/team/app/blobs/${digest} HTTP/1.1\r\nHost: x\r\n\r\n`)
    await connection.until(/a{1000}/)
    connection.reset()
    expect(await ended.promise).toBe('ClientGoneError')
    await expect.poll(() => events).toMatchObject([{ bytes: 1000 }])
    expect(log.filter(({ level }) => level !== 'debug')).toEqual([])
  })

  it('is read no faster than the client takes it', async () => {
    let read = 0
    const { client, backend, log } = await startRegistry(
      { stalledResponseTimeoutMs: 300 },
      reading(async function* () {
        for (; read < 200; read++) yield Buffer.alloc(1024 * 1024)
      })
    )
    const digest = backend.addBlob(APP, Buffer.alloc(200 * 1024 * 1024))
    const connection = client.raw()
    onTestFinished(() => connection.reset())
    connection.pause()
    connection.write(`GET /v2/team/app/blobs/${digest} HTTP/1.1\r\nHost: x\r\n\r\n`)
    const cutOff = () => log.filter(({ message }) => message === 'an answer was cut off')
    await expect.poll(cutOff).toMatchObject([{ fields: { err: { code: 'BROKEN_BODY' } } }])
    expect(read).toBeGreaterThan(0)
    expect(read).toBeLessThan(50)
  })

  it('may take its time once it has begun', async () => {
    const { client, backend } = await startRegistry(
      { answerTimeoutMs: 60_000 },
      reading(async function* () {
        yield Buffer.alloc(1000, 'a')
        await late.promise
        yield Buffer.alloc(1000, 'b')
      })
    )
    const late = Promise.withResolvers<void>()
    const digest = backend.addBlob(APP, randomBytes(2000))
    vi.useFakeTimers({ toFake: ['setTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const connection = client.raw()
    connection.write(`GET /v2/team/app/blobs/${digest} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
    await connection.until(/\r\n\r\n/)
    vi.advanceTimersByTime(60_000)
    late.resolve()
    expect(await connection.closed()).toMatch(/\r\n\r\na{1000}b{1000}$/)
  })

  it('is given up with 503 when its first byte takes too long, though the backend heeds nothing', async () => {
    const { client, backend } = await startRegistry(
      { answerTimeoutMs: 50 },
      reading(async function* () {
        await new Promise(() => {})
        yield Buffer.alloc(1)
      })
    )
    const digest = backend.addBlob(APP, randomBytes(2000))
    const answer = await client.get(`/v2/team/app/blobs/${digest}`)
    expect([answer.status, answer.errorCode()]).toEqual([503, 'UNAVAILABLE'])
  })
})

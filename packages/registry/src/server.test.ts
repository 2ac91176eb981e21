import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import { REGISTRY_SERVER_DEFAULTS } from './options.ts'
import { createRegistryServer } from './server.ts'
import { TestClient } from './testing/client.ts'
import { startRegistry } from './testing/start.ts'

describe('the server', () => {
  it('keeps idle connections for longer than Go clients do, and times no request as a whole', () => {
    const server = createRegistryServer(() => {})
    expect(server.keepAliveTimeout).toBeGreaterThanOrEqual(95_000)
    expect(server.requestTimeout).toBe(0)
    expect(server.timeout).toBe(0)
    expect(server.headersTimeout).toBe(REGISTRY_SERVER_DEFAULTS.headersTimeoutMs)
    expect(server.maxHeadersCount).toBe(REGISTRY_SERVER_DEFAULTS.maxHeaders)
  })

  it('serves several requests on one connection', async () => {
    const { client } = await startRegistry()
    const connection = client.raw()
    connection.write('GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n')
    expect(await connection.until(/\{\}$/)).toContain('Keep-Alive: timeout=95')
    connection.write('GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    expect((await connection.closed()).match(/200 OK/g)).toHaveLength(2)
  })

  it('drops a client that sends its head too slowly', async () => {
    const { client } = await startRegistry({ headersTimeoutMs: 100 })
    const slow = client.raw()
    slow.write('GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: ')
    expect(await slow.closed()).toMatch(/^(HTTP\/1.1 408 |$)/)
  })

  it('refuses a head that is too long', async () => {
    const { client } = await startRegistry({ maxHeaderBytes: 8192 })
    expect((await client.get('/v2/', { authorization: 'x'.repeat(7000) })).status).toBe(200)
    expect((await client.get('/v2/', { authorization: 'x'.repeat(9000) })).status).toBe(431)
  })

  it.each([
    'nonsense\r\n\r\n',
    'GET /v2/ HTTP/1.1\r\n\r\n',
    'GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n'
  ])('refuses %j', async (text) => {
    const { client } = await startRegistry()
    const connection = client.raw()
    connection.write(text)
    expect(await connection.closed()).toMatch(/^HTTP\/1.1 400 /)
  })

  it('answers some requests that are sent at once, and cuts off who sends more', async () => {
    const { client } = await startRegistry({ maxPipelinedRequests: 4 })
    const request = 'GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n'
    const few = client.raw()
    few.write(request.repeat(4))
    expect((await few.until(/(\{\}[\s\S]*){4}/)).match(/200 OK/g)).toHaveLength(4)
    few.write(request.repeat(4))
    await few.until(/(\{\}[\s\S]*){8}/)
    few.end()
    const many = client.raw()
    many.write(request.repeat(5))
    expect((await many.closed()).match(/200 OK/g) ?? []).toHaveLength(0)
  })

  it('closes connections beyond their number at once', async () => {
    const server = createRegistryServer((_, response) => response.end('ok'), { maxConnections: 1 }).listen(
      0,
      '127.0.0.1'
    )
    await once(server, 'listening')
    onTestFinished(async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    })
    const client = new TestClient((server.address() as AddressInfo).port)
    const first = client.raw()
    first.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    await first.until(/ok$/)
    expect(await client.raw().closed()).toBe('')
    first.end()
  })
})

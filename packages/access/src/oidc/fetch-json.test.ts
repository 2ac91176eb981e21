import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { fetchJson } from './fetch-json.ts'

let server: Server
afterEach(() => {
  server.closeAllConnections()
  server.close()
})

async function serve(handler: RequestListener): Promise<URL> {
  server = createServer(handler).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`)
}

const signal = () => AbortSignal.timeout(120_000)

it('fetches JSON', async () => {
  const url = await serve((_, response) => response.end('{"keys":[]}'))
  expect(await fetchJson(url, { signal: signal() })).toEqual({ keys: [] })
})

it('follows no redirect', async () => {
  const asked: unknown[] = []
  const url = await serve((request, response) => {
    asked.push(request.url)
    response.writeHead(302, { Location: '/elsewhere' }).end('{}')
  })
  await expect(fetchJson(url, { signal: signal() })).rejects.toThrow('answered with 302')
  expect(asked).toEqual(['/keys'])
})

it('reads no more than it should, and does not wait for the rest', async () => {
  const url = await serve((_, response) => {
    response.write('['.repeat(2_000))
  })
  await expect(fetchJson(url, { signal: signal(), maxBytes: 1_000 })).rejects.toThrow('more than 1000 bytes')
})

it('waits no longer than it may', async () => {
  const url = await serve(() => {})
  await expect(fetchJson(url, { signal: AbortSignal.timeout(20) })).rejects.toThrow()
})

it('fails when the answer ends in the middle, or is no JSON', async () => {
  const cut = await serve((request, response) => {
    response.writeHead(200, { 'Content-Length': 100 }).write('{"keys"')
    setImmediate(() => request.socket.destroy())
  })
  await expect(fetchJson(cut, { signal: signal() })).rejects.toThrow()
  server.close()
  const html = await serve((_, response) => response.end('<html>'))
  await expect(fetchJson(html, { signal: signal() })).rejects.toThrow('answered with no JSON')
})

it('fails when nobody is there', async () => {
  const url = await serve(() => {})
  server.close()
  await once(server, 'close')
  await expect(fetchJson(url, { signal: signal() })).rejects.toThrow('ECONNREFUSED')
})

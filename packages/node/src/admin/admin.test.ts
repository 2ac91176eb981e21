import { request as httpRequest } from 'node:http'
import { OciError, parseDigest, parseRepository, parseTag } from '@layermesh/oci'
import { afterEach, expect, it } from 'vitest'
import { z } from 'zod'
import { closeServer, type Listening, listen } from '../listening.ts'
import { createLog } from '../log.ts'
import { createAdmin } from './admin.ts'
import { imageSchema, peerSchema, pullEventSchema, statusSchema, transferSchema } from './schemas.ts'
import type { NodeView, PullEvent, PullProgress, PullResult } from './view.ts'

const DIGEST = parseDigest(`sha256:${'a'.repeat(64)}`)
const LAYER = parseDigest(`sha256:${'b'.repeat(64)}`)
const NOW = new Date(0).toISOString()
const PROGRESS: PullProgress = { digest: LAYER, mediaType: 'layer', size: 10, heldBytes: 5, sources: [] }
const RESULT: PullResult = {
  repository: parseRepository('team/app'),
  tag: parseTag('1'),
  digest: DIGEST,
  mediaType: 'manifest',
  size: 10,
  receivedBytes: 10,
  sources: [{ peerId: 'p', bytes: 10 }]
}

type Description = { paths: Record<string, object> }
type Refusal = { error: { code: string } }

class FakeNode implements NodeView {
  ready = true
  pullWith: NodeView['pull'] = async () => RESULT

  status() {
    return {
      peerId: 'me',
      role: 'seed' as const,
      zone: 'default',
      version: '0.0.0',
      startedAt: NOW,
      meshAddresses: ['/ip4/127.0.0.1/tcp/1/p2p/me'],
      registry: 'http://127.0.0.1:5000',
      peers: 1,
      store: { blobs: 1, bytes: 10, arriving: 1, minFreeBytes: 64, pinnedBytes: 0, full: false },
      ready: this.ready,
      notReady: this.ready ? [] : ['the store is opening']
    }
  }
  peers() {
    const told = { zone: 'default', role: 'node' as const, version: '0.0.0' }
    return [{ peerId: 'p', addresses: [], direction: 'inbound' as const, ...told, receivedBytes: 1, sentBytes: 2 }]
  }
  async images() {
    const { repository } = RESULT
    const signed = { signedBy: 'p', sequence: 1, confirmedAt: NOW }
    return [{ repository, tag: parseTag('1'), digest: DIGEST, size: 10, ...signed, complete: true }]
  }
  transfers() {
    return [{ digest: LAYER, size: 10, heldBytes: 5, sources: [{ peerId: 'p', bytes: 5 }] }]
  }
  pull(...args: Parameters<NodeView['pull']>) {
    return this.pullWith(...args)
  }
}

const LOOPBACK = { host: '127.0.0.1', port: 0 }

let listening: Listening | undefined
afterEach(async () => {
  if (listening) await closeServer(listening.server, AbortSignal.abort())
  listening = undefined
})

async function serve(options: { hosts?: string[]; maxPulls?: number; tokenForViews?: boolean } = {}) {
  const node = new FakeNode()
  const metrics = { expose: async () => ({ contentType: 'text/plain; version=0.0.4', text: 'metric 1\n' }) }
  const log = createLog({ level: 'silent', format: 'json' })
  const app = createAdmin({ view: node, metrics, log, actions: [] }, { token: 'none', listen: LOOPBACK, ...options })
  listening = await listen(app, LOOPBACK)
  return { node, url: listening.url }
}

function post(url: string, body: string, headers: Record<string, string> = { 'content-type': 'application/json' }) {
  return fetch(`${url}/api/v1/pull`, { method: 'POST', body, headers })
}

async function readJson<T>(response: Response): Promise<T> {
  return (await response.json()) as T
}

async function events(response: Response): Promise<PullEvent[]> {
  const lines = (await response.text()).trimEnd().split('\n')
  return lines.map((line) => pullEventSchema.parse(JSON.parse(line)))
}

/** `fetch` does not let its caller choose these headers. */
function statusWith(url: string, headers: Record<string, string>, method = 'GET'): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, { method, headers, agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    request.on('error', reject).end()
  })
}

it('tells of health, and why it is not ready', async () => {
  const { node, url } = await serve()
  expect((await fetch(`${url}/livez`)).status).toBe(200)
  expect((await fetch(`${url}/readyz`)).status).toBe(200)
  node.ready = false
  const unready = await fetch(`${url}/readyz`)
  expect([unready.status, await unready.text()]).toEqual([503, 'not ready: the store is opening\n'])
  expect((await fetch(`${url}/livez`)).status).toBe(200)
})

it('shows the metrics as Prometheus reads them', async () => {
  const { url } = await serve()
  const response = await fetch(`${url}/metrics`)
  expect(response.headers.get('content-type')).toContain('version=0.0.4')
  expect(await response.text()).toBe('metric 1\n')
})

it('answers as its description says', async () => {
  const { url } = await serve()
  const shapes = {
    status: statusSchema,
    peers: z.array(peerSchema),
    images: z.array(imageSchema),
    transfers: z.array(transferSchema)
  }
  const description = await readJson<Description>(await fetch(`${url}/api/v1/openapi.json`))
  for (const [name, shape] of Object.entries(shapes)) {
    shape.parse(await (await fetch(`${url}/api/v1/${name}`)).json())
    expect(description.paths).toHaveProperty([`/api/v1/${name}`, 'get'])
  }
})

it('describes nothing that is not there, and all that is', async () => {
  const { url } = await serve()
  const { paths } = await readJson<Description>(await fetch(`${url}/api/v1/openapi.json`))
  for (const [path, operations] of Object.entries(paths)) {
    for (const method of Object.keys(operations)) {
      expect((await fetch(`${url}${path}`, { method: method.toUpperCase() })).status, path).not.toBe(404)
    }
  }
  const index = await (await fetch(url)).text()
  for (const path of Object.keys(paths)) expect(index).toContain(path)
})

it('gives browsers a page and others text', async () => {
  const { url } = await serve()
  const page = await fetch(url, { headers: { accept: 'text/html,*/*;q=0.8' } })
  expect(page.headers.get('content-type')).toContain('text/html')
  expect(page.headers.get('content-security-policy')).toContain("default-src 'none'")
  expect((await fetch(url)).headers.get('content-type')).toContain('text/plain')
})

it('refuses other methods and paths, in JSON', async () => {
  const { url } = await serve()
  const wrong = await fetch(`${url}/api/v1/status`, { method: 'DELETE' })
  expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET'])
  const missing = await fetch(`${url}/api/v2/status`)
  expect([missing.status, (await readJson<Refusal>(missing)).error.code]).toEqual([404, 'NOT_FOUND'])
})

it('streams what a pull brings, and its end', async () => {
  const { node, url } = await serve()
  node.pullWith = async (reference, onProgress) => {
    expect(reference).toEqual({ repository: 'team/app', tag: '1' })
    onProgress({ ...PROGRESS, heldBytes: 1 })
    onProgress(PROGRESS)
    return RESULT
  }
  const response = await post(url, '{"reference":"team/app:1"}')
  expect(response.headers.get('content-type')).toContain('application/x-ndjson')
  expect(await events(response)).toEqual([
    { type: 'progress', progress: PROGRESS },
    { type: 'done', result: RESULT }
  ])
})

it('shows progress before the end', async () => {
  const { node, url } = await serve()
  const finish = Promise.withResolvers<PullResult>()
  node.pullWith = (_reference, onProgress) => {
    onProgress(PROGRESS)
    return finish.promise
  }
  const response = await post(url, '{"reference":"team/app:1"}')
  const reader = response.body?.getReader()
  const first = Buffer.from((await reader?.read())?.value ?? []).toString()
  expect(JSON.parse(first)).toEqual({ type: 'progress', progress: PROGRESS })
  finish.resolve(RESULT)
  expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toContain('"done"')
})

it('ends the stream with what went wrong, and keeps the inside of the node to itself', async () => {
  const { node, url } = await serve()
  node.pullWith = () => Promise.reject(new OciError('MANIFEST_UNKNOWN', 'nobody has it'))
  expect(await events(await post(url, '{"reference":"team/app:1"}'))).toEqual([
    { type: 'error', error: { code: 'MANIFEST_UNKNOWN', message: 'nobody has it' } }
  ])
  node.pullWith = () => Promise.reject(new Error('/etc/secret'))
  const [last] = await events(await post(url, '{"reference":"team/app:1"}'))
  expect(last).toMatchObject({ type: 'error', error: { code: 'INTERNAL' } })
  expect(JSON.stringify(last)).not.toContain('/etc/secret')
})

it('shows content to holders of the token alone when told so', async () => {
  const { url } = await serve({ tokenForViews: true })
  for (const name of ['peers', 'images', 'transfers', 'Images', 'images/']) {
    const response = await fetch(`${url}/api/v1/${name}`)
    expect([response.status, (await readJson<Refusal>(response)).error.code], name).toEqual([401, 'ADMIN_TOKEN_NEEDED'])
  }
  expect((await post(url, '{"reference":"a"}')).status).toBe(401)
  expect((await fetch(`${url}/api/v1/images`, { headers: { authorization: 'Bearer none' } })).status).toBe(200)
  for (const path of ['livez', 'readyz', 'metrics', 'api/v1/status', 'api/v1/openapi.json']) {
    expect((await fetch(`${url}/${path}`)).status, path).toBe(200)
  }
})

it('ends a pull at its deadline', async () => {
  const { node, url } = await serve()
  node.pullWith = (_reference, _onProgress, signal) =>
    new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  expect(await events(await post(url, '{"reference":"team/app:1","deadlineMs":1}'))).toMatchObject([
    { type: 'error', error: { code: 'DEADLINE' } }
  ])
})

it('ends a pull when its client leaves', async () => {
  const { node, url } = await serve()
  const aborted = Promise.withResolvers<void>()
  node.pullWith = (_reference, _onProgress, signal) =>
    new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        aborted.resolve()
        reject(signal.reason)
      })
    })
  const response = await post(url, '{"reference":"team/app:1"}')
  await response.body?.cancel()
  await aborted.promise
})

it('bounds how many pulls run at one time', async () => {
  const { node, url } = await serve({ maxPulls: 1 })
  const finish = Promise.withResolvers<PullResult>()
  node.pullWith = () => finish.promise
  const first = await post(url, '{"reference":"team/app:1"}')
  const second = await post(url, '{"reference":"team/app:1"}')
  expect([second.status, (await readJson<Refusal>(second)).error.code]).toEqual([429, 'TOO_MANY_PULLS'])
  finish.resolve(RESULT)
  await first.text()
  expect((await post(url, '{"reference":"team/app:1"}')).status).toBe(200)
})

it('refuses bodies that are no pull, too long, or what a form of another site could send', async () => {
  const { url } = await serve()
  for (const body of ['', '{', '[]', '{}', '{"reference":1}', '{"reference":"a","more":1}', '{"reference":"UP:1"}']) {
    expect((await post(url, body)).status, body).toBe(400)
  }
  expect((await post(url, '{"reference":"a","deadlineMs":0}')).status).toBe(400)
  expect((await post(url, JSON.stringify({ reference: 'a'.repeat(20_000) }))).status).toBe(413)
  expect((await post(url, '{"reference":"a"}', { 'content-type': 'text/plain' })).status).toBe(400)
})

it('refuses names that a stranger could point here', async () => {
  const { url } = await serve({ hosts: ['admin.example'] })
  const { port } = new URL(url)
  for (const host of ['localhost', '127.0.0.1', '10.1.2.3', '[::1]', 'admin.example', 'Admin.Example']) {
    expect(await statusWith(`${url}/api/v1/status`, { host: `${host}:${port}` }), host).toBe(200)
  }
  for (const host of ['evil.example', 'localhost.evil.example', '', '[evil]', '127.0.0.1.evil.example']) {
    expect(await statusWith(`${url}/api/v1/status`, { host: `${host}:${port}` }), host).toBe(403)
  }
})

it('refuses what pages of other sites ask, but lets their links lead here', async () => {
  const { url } = await serve()
  const link = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }
  expect(await statusWith(url, { origin: url })).toBe(200)
  expect(await statusWith(url, { 'sec-fetch-site': 'same-origin' })).toBe(200)
  expect(await statusWith(url, link)).toBe(200)
  expect(await statusWith(`${url}/api/v1/pull`, link, 'POST')).toBe(403)
  expect(await statusWith(url, { ...link, 'sec-fetch-dest': 'iframe' })).toBe(403)
  expect(await statusWith(url, { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'cors' })).toBe(403)
  for (const origin of ['http://evil.example', 'null', 'http://127.0.0.1:1']) {
    expect(await statusWith(`${url}/metrics`, { origin }), origin).toBe(403)
  }
})

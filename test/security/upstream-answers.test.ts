import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { eventually, request } from '../support/http.ts'
import { useSandbox } from '../support/sandbox.ts'
import { ask } from './support/client.ts'
import { giveImage, HostileServer, UPSTREAM_IMAGE } from './support/hostile-upstream.ts'
import { type Usage, Victim } from './support/victim.ts'

/** Only ends what hangs: the deadlines, which are shorter than those of clients, are tested where they are. */
const PATIENCE_MS = 100_000
const { manifest, layer, layerBytes } = UPSTREAM_IMAGE

const sandbox = useSandbox()
let victim: Victim
let registry: HostileServer
let before: Usage

beforeAll(async () => {
  registry = await HostileServer.start(sandbox)
  const raw = await startEndlessHeads()
  const registries = { 'hostile.example': { url: registry.url }, 'endless.example': { url: raw } }
  victim = await Victim.start(sandbox, { name: 'node', role: 'seed', settings: { upstreams: { registries } } })
  registry.handler = giveImage
  expect((await ask(victim.node, 'GET', '/v2/hostile.example/warm/up/manifests/latest')).status).toBe(200)
  before = await victim.usage()
})

/** What was sent to it has left nothing behind; connections of clients, which are ours, stay for a while. */
afterEach(async () => {
  victim.expectAlive()
  await victim.expectNoLeak(before, { slackSockets: 100 })
})

afterAll(() =>
  eventually('all connections to the registry are ended', 60_000, async () =>
    (await registry.connections()) === 0 ? true : undefined
  )
)

/** A server that says 103 for ever. @returns its URL */
async function startEndlessHeads(): Promise<string> {
  const server = createServer((socket) => {
    const timer = setInterval(() => socket.write('HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n'.repeat(100)), 5)
    socket.on('error', () => {}).on('close', () => clearInterval(timer))
    socket.resume()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  sandbox.defer(async () => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Writes for as long as somebody reads. */
function writeForEver(response: ServerResponse, text: string): void {
  const chunk = Buffer.alloc(65_536, text)
  const write = () => {
    if (!response.destroyed) response.write(chunk, () => setImmediate(write))
  }
  write()
}

const HEAD = { 'content-type': MEDIA_TYPE.ociManifest }

test.each<[string, (response: ServerResponse) => unknown]>([
  [
    'compressed',
    (response) => response.writeHead(200, { ...HEAD, 'content-encoding': 'gzip' }).end(gzipSync(manifest))
  ],
  ['without end', (response) => writeForEver(response.writeHead(200, HEAD), ' ')],
  ['said to have 1 TB', (response) => writeForEver(response.writeHead(200, { ...HEAD, 'content-length': 1e12 }), ' ')],
  ['of 5 MiB', (response) => response.writeHead(200, HEAD).end(Buffer.alloc(5 * 1024 * 1024, ' '))],
  ['with a head of 1 MB', (response) => response.writeHead(200, { 'x-long': 'a'.repeat(1_000_000) }).end(manifest)],
  [
    'with another digest than is told',
    (response) =>
      response.writeHead(200, { ...HEAD, 'docker-content-digest': digestOf(Buffer.from('x')) }).end(manifest)
  ],
  [
    'that breaks off',
    (response) =>
      response.writeHead(200, { ...HEAD, 'content-length': 10_000 }).write(manifest, () => response.destroy())
  ],
  ['that is none', (response) => response.writeHead(200, HEAD).end('[]')]
])('no client gets a manifest %s', async (_, answer) => {
  registry.handler = ({ method }, response) => (method === 'HEAD' ? response.writeHead(405).end() : answer(response))
  const reference = `t${registry.seen.length}`
  const got = await ask(victim.node, 'GET', `/v2/hostile.example/team/app/manifests/${reference}`)
  expect(got.status).toBe(404)
  expect(got.elapsedMs).toBeLessThan(PATIENCE_MS)
})

test('no client gets other bytes for a manifest than its digest', async () => {
  registry.handler = (request, response) => {
    if (request.method === 'HEAD') giveImage(request, response)
    else response.writeHead(200, HEAD).end(`${manifest} `)
  }
  const got = await ask(victim.node, 'GET', `/v2/hostile.example/other/app/manifests/${UPSTREAM_IMAGE.digest}`)
  expect([200, 404]).toContain(got.status)
  if (got.status === 200) expect(digestOf(got.body)).toBe(UPSTREAM_IMAGE.digest)
})

test('no client gets other bytes for a blob as if they were all right', async () => {
  registry.handler = (request, response) => {
    if (!request.url?.endsWith(layer.digest) || request.method === 'HEAD') return giveImage(request, response)
    const wrong = Buffer.from(layerBytes).fill('x')
    return response.writeHead(200, { 'content-length': wrong.length }).end(wrong)
  }
  expect((await ask(victim.node, 'GET', '/v2/hostile.example/team/app/manifests/latest')).status).toBe(200)
  const path = `/v2/hostile.example/team/app/blobs/${layer.digest}`
  const got = await ask(victim.node, 'GET', path).catch(() => undefined)
  if (got?.status === 200) expect(digestOf(got.body)).toBe(layer.digest)
})

test('a token service without end holds nobody up', async () => {
  registry.handler = ({ url = '' }, response) => {
    if (url.startsWith('/token')) writeForEver(response.writeHead(200), 'a')
    else response.writeHead(401, { 'www-authenticate': `Bearer realm="${registry.url}/token",service="s"` }).end()
  }
  const asked = Array.from({ length: 20 }, (_, at) =>
    ask(victim.node, 'GET', `/v2/hostile.example/token/app/manifests/${at}`)
  )
  for (const { status, elapsedMs } of await Promise.all(asked)) {
    expect(status).toBe(404)
    expect(elapsedMs).toBeLessThan(PATIENCE_MS)
  }
})

test('heads without end hold nobody up', async () => {
  const { status, elapsedMs } = await ask(victim.node, 'GET', '/v2/endless.example/team/app/manifests/1')
  expect(status).toBe(404)
  expect(elapsedMs).toBeLessThan(PATIENCE_MS)
})

test('a registry that is asked in vain does not keep others from theirs', async () => {
  registry.handler = () => undefined
  const hanging = Array.from({ length: 40 }, (_, at) =>
    ask(victim.node, 'GET', `/v2/hostile.example/hang/app/manifests/${at}`)
  )
  await sleep(1_000)
  expect((await request(`${victim.node.adminUrl}/livez`)).status).toBe(200)
  const answers = await Promise.all(hanging)
  expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([404]))
  for (const answer of answers) expect(answer.elapsedMs).toBeLessThan(PATIENCE_MS)
})

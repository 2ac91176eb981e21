import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { expect, it, onTestFinished } from 'vitest'
import { loadOrCreateAdminToken } from '../admin/admin-token.ts'
import { loadConfig } from '../config/index.ts'
import { createLog } from '../log.ts'
import { type RunningNode, startNode } from '../node.ts'

const SECRET = 'a secret of the test, long enough'
const PATIENT = { timeout: 90_000 } as const

interface Received {
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

async function startReceiver(): Promise<{ url: string; received: Received[] }> {
  const received: Received[] = []
  const server = createServer(async (request, response) => {
    received.push({ headers: request.headers, body: await text(request) })
    response.writeHead(204).end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, received }
}

interface Started {
  readonly node: RunningNode
  readonly dataDir: string
}

async function startNodeWith(
  settings: { role?: string; mesh?: object; trust?: object[] },
  webhooks: (secretFile: string) => object[] = () => []
): Promise<Started> {
  const dataDir = await mkdtemp(join(tmpdir(), 'layermesh-node-webhooks-'))
  onTestFinished(() => rm(dataDir, { recursive: true, force: true }))
  const secretFile = join(dataDir, 'secret')
  await writeFile(secretFile, `${SECRET}\n`, { mode: 0o600 })
  const all = {
    dataDir,
    registry: { listen: '127.0.0.1:0' },
    admin: { listen: '127.0.0.1:0' },
    upstreams: { default: 'none', others: 'none' },
    log: { level: 'fatal' },
    webhooks: webhooks(secretFile),
    ...settings,
    mesh: { listen: ['/ip4/127.0.0.1/tcp/0'], ...settings.mesh }
  }
  const { config } = await loadConfig({ text: JSON.stringify(all), environment: {} })
  const node = await startNode(config, { log: createLog(config.log) })
  let stopped: Promise<void> | undefined
  const stop = () => {
    stopped ??= node.stop(AbortSignal.timeout(0))
    return stopped
  }
  onTestFinished(stop)
  return { node: { ...node, stop }, dataDir }
}

function startSeed(webhooks: (secretFile: string) => object[]): Promise<Started> {
  return startNodeWith({ role: 'seed' }, webhooks)
}

async function pushImage({ info }: RunningNode): Promise<string> {
  const base = `${info.registry}/v2/team/app`
  const config = Buffer.from('{}')
  const descriptor = { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(config), size: config.length }
  const url = `${base}/blobs/uploads/?digest=${descriptor.digest}`
  expect((await fetch(url, { method: 'POST', body: config })).status).toBe(201)
  const mediaType = MEDIA_TYPE.ociManifest
  const body = JSON.stringify({ schemaVersion: 2, mediaType, config: descriptor, layers: [] })
  const headers = { 'content-type': mediaType }
  expect((await fetch(`${base}/manifests/1`, { method: 'PUT', body, headers })).status).toBe(201)
  return digestOf(Buffer.from(body))
}

interface Acted {
  readonly status: number
  readonly body: { readonly webhooks?: readonly object[] }
}

async function act(node: RunningNode, dataDir: string, method: string, path: string, body?: object): Promise<Acted> {
  const headers = {
    authorization: `Bearer ${await loadOrCreateAdminToken(dataDir)}`,
    'content-type': 'application/json'
  }
  const init = { method, headers, ...(body && { body: JSON.stringify(body) }) }
  const response = await fetch(`${node.info.admin}/api/v1/${path}`, init)
  return { status: response.status, body: (await response.json()) as Acted['body'] }
}

it('tells receivers of a push, signed, in the format that each wants', async () => {
  const [events, docker] = [await startReceiver(), await startReceiver()]
  const { node, dataDir } = await startSeed((secretFile) => [
    { name: 'events', url: events.url, secretFile, allowPrivateAddresses: true, repositories: ['team/*'] },
    { name: 'other', url: events.url, secretFile, allowPrivateAddresses: true, repositories: ['other/*'] },
    {
      name: 'docker',
      url: docker.url,
      format: 'docker',
      allowPrivateAddresses: true,
      ignoreMediaTypes: ['application/octet-stream']
    }
  ])
  const digest = await pushImage(node)
  await expect.poll(() => events.received.length, PATIENT).toBe(3)
  const bodies = events.received.map(({ body }) => JSON.parse(body))
  const pushed = bodies.find(({ type }) => type === 'dev.layermesh.manifest.pushed.v1')
  expect(pushed).toMatchObject({
    source: `/mesh/${node.info.peerId}`,
    subject: 'team/app:1',
    data: { repository: 'team/app', tag: '1', digest, request: { method: 'PUT', address: '127.0.0.1' } }
  })
  expect(bodies[0]).toMatchObject({ type: 'dev.layermesh.blob.pushed.v1', data: { repository: 'team/app', size: 2 } })
  expect(bodies[1]).toMatchObject({ type: 'dev.layermesh.tag.set.v1', data: { tag: '1', digest } })
  for (const { headers, body } of events.received) {
    const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`
    const expected = `v1,${createHmac('sha256', SECRET).update(signed).digest('base64')}`
    expect(headers['webhook-signature']).toBe(expected)
  }

  await expect.poll(() => docker.received.length, PATIENT).toBe(1)
  const [envelope] = docker.received.map(({ body }) => JSON.parse(body))
  expect(envelope.events).toMatchObject([
    { action: 'push', target: { repository: 'team/app', tag: '1', digest }, source: { instanceID: node.info.peerId } }
  ])
  const { body } = await act(node, dataDir, 'GET', 'webhooks')
  expect(body.webhooks).toMatchObject([
    { name: 'events', state: 'idle', pending: 0, dead: 0 },
    { name: 'other', attempts: [] },
    { name: 'docker', format: 'docker' }
  ])
  const metrics = await (await fetch(`${node.info.admin}/metrics`)).text()
  expect(metrics).toContain('layermesh_webhooks_delivered_total{webhook="docker"} 1')
  expect(metrics).toContain('layermesh_webhooks_pending{webhook="other"} 0')
})

it('keeps an audit log in its data directory', async () => {
  const { node, dataDir } = await startSeed(() => [])
  const digest = await pushImage(node)
  // As a client does that was not told whether it was done.
  await pushImage(node)
  await act(node, dataDir, 'POST', 'webhooks/test', { name: 'nobody' })
  await fetch(`${node.info.admin}/api/v1/webhooks`)
  await node.stop(AbortSignal.timeout(0))
  const lines = (await readFile(join(dataDir, 'audit.log'), 'utf8')).trim().split('\n')
  const entries = lines.map((line) => JSON.parse(line))
  expect(entries).toMatchObject([
    { action: 'push', result: 'allowed', repository: 'team/app', node: node.info.peerId, address: '127.0.0.1' },
    { action: 'tag.set', repository: 'team/app', reference: '1', digest },
    { action: 'push', repository: 'team/app', reference: '1', digest, requestId: expect.any(String) },
    { action: 'push' },
    { action: 'tag.set', repository: 'team/app', reference: '1', digest },
    { action: 'push', reference: '1' },
    { action: 'admin', result: 'failed', reference: 'POST webhooks/test', details: { name: 'nobody' } },
    { action: 'admin', result: 'denied', reference: 'GET webhooks' }
  ])
  const token = await loadOrCreateAdminToken(dataDir)
  expect(lines.join()).not.toContain(token)
})

it('tells of a push that another node passed on', async () => {
  const receiver = await startReceiver()
  const webhook = (secretFile: string) => [{ name: 'ci', url: receiver.url, secretFile, allowPrivateAddresses: true }]
  const seed = await startSeed(webhook)
  const { peerId, meshAddresses } = seed.node.info
  const other = await startNodeWith({ mesh: { join: meshAddresses }, trust: [{ peerId }] })
  await expect.poll(async () => (await fetch(`${other.node.info.admin}/readyz`)).status, PATIENT).toBe(200)
  const digest = await pushImage(other.node)
  await expect.poll(() => receiver.received.length, PATIENT).toBe(2)
  const via = other.node.info.peerId
  expect(receiver.received.map(({ body }) => JSON.parse(body))).toMatchObject([
    { type: 'dev.layermesh.tag.set.v1', data: { tag: '1', digest, via } },
    { type: 'dev.layermesh.manifest.pushed.v1', data: { tag: '1', digest, via, mediaType: MEDIA_TYPE.ociManifest } }
  ])
  const deleted = await fetch(`${other.node.info.registry}/v2/team/app/manifests/${digest}`, { method: 'DELETE' })
  expect(deleted.status).toBe(202)
  await expect.poll(() => receiver.received.length, PATIENT).toBe(4)
  expect(receiver.received.slice(2).map(({ body }) => JSON.parse(body))).toMatchObject([
    { type: 'dev.layermesh.tag.deleted.v1', data: { tag: '1', previousDigest: digest, via } },
    { type: 'dev.layermesh.manifest.deleted.v1', data: { digest, via } }
  ])
})

it('answers a push although its receiver may not be reached, and says why when asked', async () => {
  const receiver = await startReceiver()
  const { node, dataDir } = await startSeed((secretFile) => [{ name: 'ci', url: receiver.url, secretFile }])
  await pushImage(node)
  const tested = await act(node, dataDir, 'POST', 'webhooks/test', { name: 'ci' })
  expect(tested).toMatchObject({ status: 200, body: { delivered: false, error: expect.stringContaining('may not') } })
  const { body } = await act(node, dataDir, 'GET', 'webhooks')
  expect(body.webhooks).toMatchObject([{ name: 'ci', state: 'failing', attempts: expect.any(Array) }])
  expect(receiver.received).toEqual([])
  const unknown = await act(node, dataDir, 'POST', 'webhooks/redeliver', { name: 'nobody' })
  expect(unknown).toMatchObject({ status: 404, body: { error: { code: 'NOT_FOUND' } } })
})

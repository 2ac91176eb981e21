import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
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
const PATIENT = { timeout: 20_000 } as const

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

async function startSeed(webhooks: (secretFile: string) => object[]): Promise<{ node: RunningNode; dataDir: string }> {
  const dataDir = await mkdtemp(join(tmpdir(), 'layermesh-node-webhooks-'))
  onTestFinished(() => rm(dataDir, { recursive: true, force: true }))
  const secretFile = join(dataDir, 'secret')
  await writeFile(secretFile, `${SECRET}\n`, { mode: 0o600 })
  const settings = {
    role: 'seed',
    dataDir,
    registry: { listen: '127.0.0.1:0' },
    admin: { listen: '127.0.0.1:0' },
    mesh: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    log: { level: 'fatal' },
    webhooks: webhooks(secretFile)
  }
  const { config } = await loadConfig({ text: JSON.stringify(settings), environment: {} })
  const node = await startNode(config, { log: createLog(config.log) })
  onTestFinished(() => node.stop(AbortSignal.timeout(0)))
  return { node, dataDir }
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
  await expect.poll(() => events.received.length, PATIENT).toBeGreaterThanOrEqual(2)
  const bodies = events.received.map(({ body }) => JSON.parse(body))
  const pushed = bodies.find(({ type }) => type === 'dev.layermesh.manifest.pushed.v1')
  expect(pushed).toMatchObject({
    source: `/mesh/${node.info.peerId}`,
    subject: 'team/app:1',
    data: { repository: 'team/app', tag: '1', digest, request: { method: 'PUT', address: '127.0.0.1' } }
  })
  expect(bodies[0]).toMatchObject({ type: 'dev.layermesh.blob.pushed.v1', data: { repository: 'team/app', size: 2 } })
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

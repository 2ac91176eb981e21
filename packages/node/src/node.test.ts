import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Digest, digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadConfig } from './config/index.ts'
import { createLog } from './log.ts'
import { type RunningNode, startNode } from './node.ts'

let ends: (() => Promise<void>)[]
beforeEach(() => {
  ends = []
})
afterEach(async () => {
  for (const end of ends.reverse()) await end()
})

async function start(settings: {
  role?: string
  registry?: object
  mesh?: object
  trust?: object[]
}): Promise<RunningNode> {
  const dataDir = await mkdtemp(join(tmpdir(), 'layermesh-node-'))
  ends.push(() => rm(dataDir, { recursive: true, force: true }))
  const text = JSON.stringify({
    dataDir,
    registry: { listen: '127.0.0.1:0' },
    admin: { listen: '127.0.0.1:0' },
    upstreams: { default: 'none', others: 'none' },
    log: { level: 'fatal' },
    ...settings,
    mesh: { listen: ['/ip4/127.0.0.1/tcp/0'], ...settings.mesh }
  })
  const { config } = await loadConfig({ text, environment: {} })
  const node = await startNode(config, { log: createLog(config.log) })
  ends.push(() => node.stop(AbortSignal.timeout(0)))
  return node
}

async function seedAndNode(seedRegistry = {}): Promise<{ seed: string; node: string }> {
  const seed = await start({ role: 'seed', registry: { listen: '127.0.0.1:0', ...seedRegistry } })
  const { peerId, meshAddresses } = seed.info
  const node = await start({ mesh: { join: meshAddresses }, trust: [{ peerId }] })
  await expect.poll(async () => (await fetch(`${node.info.admin}/readyz`)).status).toBe(200)
  return { seed: seed.info.registry, node: node.info.registry }
}

async function pushBlob(registry: string, repository: string, bytes: Buffer): Promise<Digest> {
  const digest = digestOf(bytes)
  const url = `${registry}/v2/${repository}/blobs/uploads/?digest=${digest}`
  expect((await fetch(url, { method: 'POST', body: new Uint8Array(bytes) })).status).toBe(201)
  return digest
}

function manifestOf(config: Digest, layer: Digest, size: number): string {
  const descriptor = (digest: Digest, length: number, mediaType: string) => ({ mediaType, digest, size: length })
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: descriptor(config, 2, MEDIA_TYPE.ociConfig),
    layers: [descriptor(layer, size, MEDIA_TYPE.ociLayerGzip)]
  })
}

function putManifest(registry: string, repository: string, body: string): Promise<Response> {
  const headers = { 'content-type': MEDIA_TYPE.ociManifest }
  return fetch(`${registry}/v2/${repository}/manifests/1`, { method: 'PUT', body, headers })
}

const status = async (url: string) => (await fetch(url)).status

describe('a push through a node', () => {
  it('is taken by the seed and served by both', async () => {
    const { seed, node } = await seedAndNode()
    const layer = Buffer.from('a layer')
    const body = manifestOf(
      await pushBlob(node, 'team/app', Buffer.from('{}')),
      await pushBlob(node, 'team/app', layer),
      layer.byteLength
    )
    expect((await putManifest(node, 'team/app', body)).status).toBe(201)
    for (const registry of [seed, node]) {
      expect(await status(`${registry}/v2/team/app/manifests/1`)).toBe(200)
      expect(await status(`${registry}/v2/team/app/blobs/${digestOf(layer)}`)).toBe(200)
    }
  })

  it('takes a layer that was pushed to this repository on the seed', async () => {
    const { seed, node } = await seedAndNode()
    const layer = await pushBlob(seed, 'team/app', Buffer.from('on the seed'))
    const config = await pushBlob(node, 'team/app', Buffer.from('{}'))
    expect((await putManifest(node, 'team/app', manifestOf(config, layer, 11))).status).toBe(201)
  })

  it('does not bring a layer of another repository into this one', async () => {
    const { seed, node } = await seedAndNode()
    const secret = await pushBlob(seed, 'secret/app', Buffer.from('a secret layer'))
    const config = await pushBlob(node, 'mine/app', Buffer.from('{}'))
    const body = manifestOf(config, secret, 14)
    expect((await putManifest(node, 'mine/app', body)).status).toBe(400)
    for (const registry of [seed, node]) {
      expect(await status(`${registry}/v2/mine/app/blobs/${secret}`)).toBe(404)
      expect(await status(`${registry}/v2/mine/app/manifests/${digestOf(Buffer.from(body))}`)).toBe(404)
    }
  })

  it('is refused by a seed that is read-only', async () => {
    const { node } = await seedAndNode({ readOnly: true })
    const layer = await pushBlob(node, 'team/app', Buffer.from('a layer'))
    const config = await pushBlob(node, 'team/app', Buffer.from('{}'))
    expect((await putManifest(node, 'team/app', manifestOf(config, layer, 7))).status).toBe(405)
    expect(await status(`${node}/v2/team/app/manifests/1`)).toBe(404)
  })
})

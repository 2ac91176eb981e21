import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Digest, digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { loadOrCreateKey, peerIdOf } from '@layermesh/trust'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { loadConfig } from '../config/index.ts'
import { createLog } from '../log.ts'
import { type RunningNode, startNode } from '../node.ts'

/** Two seeds for the same repositories, and a node, all in this process. */

const listen = ['/ip4/127.0.0.1/tcp/0']
let directory: string
let trust: { peerId: string }[]
let running: RunningNode[]
let east: RunningNode
let west: RunningNode
let node: RunningNode

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'layermesh-two-seeds-'))
  running = []
  const peerIds = await Promise.all(
    ['east', 'west'].map(async (name) => peerIdOf(await loadOrCreateKey(join(directory, name))))
  )
  trust = peerIds.map((peerId) => ({ peerId }))
  east = await start('east', { role: 'seed', trust })
  west = await start('west', { role: 'seed', trust, mesh: { listen, join: east.info.meshAddresses } })
  const both = [...east.info.meshAddresses, ...west.info.meshAddresses]
  node = await start('node', { trust, mesh: { listen, join: both } })
  for (const each of running) await expect.poll(() => peersOf(each)).toBe(2)
})
afterEach(async () => {
  await Promise.all(running.map((each) => each.stop(AbortSignal.timeout(0))))
  await rm(directory, { recursive: true, force: true })
})

async function start(name: string, settings: object): Promise<RunningNode> {
  const text = JSON.stringify({
    dataDir: join(directory, name),
    registry: { listen: '127.0.0.1:0' },
    admin: { listen: '127.0.0.1:0' },
    mesh: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    freshness: [{ repositories: '**', maxAge: '0s' }],
    upstreams: { default: 'none', others: 'none' },
    log: { level: 'fatal' },
    ...settings
  })
  const { config } = await loadConfig({ text, environment: {} })
  const started = await startNode(config, { log: createLog(config.log) })
  running.push(started)
  return started
}

async function peersOf(at: RunningNode): Promise<number> {
  return ((await (await fetch(`${at.info.admin}/api/v1/status`)).json()) as { peers: number }).peers
}

const url = (at: RunningNode, path: string) => `${at.info.registry}/v2/team/app/${path}`
const status = async (at: RunningNode, path: string, method = 'GET') => (await fetch(url(at, path), { method })).status
const tagsOf = async (at: RunningNode) =>
  ((await (await fetch(url(at, 'tags/list'))).json()) as { tags: string[] }).tags

async function pushBlob(at: RunningNode, text: string): Promise<{ digest: Digest; size: number }> {
  const bytes = Buffer.from(text)
  const answer = await fetch(url(at, `blobs/uploads/?digest=${digestOf(bytes)}`), {
    method: 'POST',
    body: new Uint8Array(bytes)
  })
  expect(answer.status).toBe(201)
  return { digest: digestOf(bytes), size: bytes.byteLength }
}

async function manifestOf(layer: { digest: Digest; size: number }, at: RunningNode) {
  const config = { mediaType: MEDIA_TYPE.ociConfig, ...(await pushBlob(at, '{}')) }
  const layers = [{ mediaType: MEDIA_TYPE.ociLayerGzip, ...layer }]
  const body = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers })
  return { body, digest: digestOf(Buffer.from(body)) }
}

async function put(at: RunningNode, reference: string, body: string, mediaType: string = MEDIA_TYPE.ociManifest) {
  const headers = { 'content-type': mediaType }
  return (await fetch(url(at, `manifests/${reference}`), { method: 'PUT', body, headers })).status
}

it('give what either of them has, by tag and by digest, and list it', async () => {
  const layer = await pushBlob(east, 'of the east')
  const { body, digest } = await manifestOf(layer, east)
  expect(await put(east, digest, body)).toBe(201)
  expect(await put(east, '1', body)).toBe(201)
  const other = await manifestOf(await pushBlob(west, 'of the west'), west)
  expect(await put(west, '2', other.body)).toBe(201)
  for (const at of [west, node, east]) {
    expect(await status(at, `manifests/${digest}`)).toBe(200)
    expect(await status(at, `blobs/${layer.digest}`)).toBe(200)
    expect(await status(at, 'manifests/2')).toBe(200)
    expect(await tagsOf(at)).toEqual(['1', '2'])
    expect(await status(at, `blobs/${digestOf(Buffer.from('nobody has it'))}`)).toBe(404)
  }
})

it('take a push whose layers and images the other one has', async () => {
  const layer = await pushBlob(east, 'pushed to the east')
  const { body, digest } = await manifestOf(layer, west)
  expect(await put(west, digest, body)).toBe(201)
  const child = { mediaType: MEDIA_TYPE.ociManifest, digest, size: Buffer.byteLength(body) }
  const index = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [child] })
  expect(await put(east, 'all', index, MEDIA_TYPE.ociIndex)).toBe(201)
  await west.stop(AbortSignal.timeout(0))
  expect(await status(east, `blobs/${layer.digest}`)).toBe(200)
  running = running.filter((each) => each !== west)
})

it('learn what was signed while they were away, also when nobody asks them for it', async () => {
  await west.stop(AbortSignal.timeout(0))
  running = running.filter((each) => each !== west)
  const { body } = await manifestOf(await pushBlob(east, 'while the west was away'), east)
  expect(await put(east, '9', body)).toBe(201)
  west = await start('west', { role: 'seed', trust, mesh: { listen, join: east.info.meshAddresses } })
  const known = async () => {
    const images = (await (await fetch(`${west.info.admin}/api/v1/images`)).json()) as { tag: string }[]
    return images.map(({ tag }) => tag)
  }
  await expect.poll(known).toEqual(['9'])
})

it('delete what is at both, whichever is asked, and by whichever node', async () => {
  const { body, digest } = await manifestOf(await pushBlob(east, 'to be deleted'), east)
  expect(await put(east, '1', body)).toBe(201)
  expect(await status(west, 'manifests/1')).toBe(200)
  expect(await status(west, `manifests/${digest}`, 'DELETE')).toBe(202)
  for (const at of [east, west]) {
    expect(await status(at, 'manifests/1')).toBe(404)
    expect(await status(at, `manifests/${digest}`)).toBe(404)
  }
  expect(await put(west, '2', body)).toBe(201)
  expect(await status(east, 'manifests/2')).toBe(200)
  expect(await status(node, `manifests/${digest}`, 'DELETE')).toBe(202)
  for (const at of [east, west]) expect(await status(at, `manifests/${digest}`)).toBe(404)
})

import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setUser } from '@layermesh/access/basics'
import { type Digest, digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { loadConfig } from '../config/index.ts'
import { createLog } from '../log.ts'
import { type RunningNode, startNode } from '../node.ts'

/** What nodes pass on for their clients to a seed, with real nodes in this process. */

let directory: string
let running: RunningNode[]

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'layermesh-passed-on-'))
  running = []
  for (const user of ['carol', 'dave', 'eve']) await setUser(join(directory, 'users'), user, user, 5)
})
afterEach(async () => {
  await Promise.all(running.map((node) => node.stop(AbortSignal.timeout(0))))
  await rm(directory, { recursive: true, force: true })
})

const grants = (...granted: object[]) => ({
  challenge: 'basic',
  htpasswd: join(directory, 'users'),
  rules: [{ repositories: '**', grant: granted }]
})
const STRICT = [
  { users: ['carol'], actions: ['pull', 'create'] },
  { users: ['dave'], actions: ['pull', 'update', 'delete'] }
]
const EVERYTHING = { anyone: true, actions: ['pull', 'create', 'update', 'delete'] }

async function start(name: string, settings: object): Promise<RunningNode> {
  const text = JSON.stringify({
    dataDir: join(directory, name),
    registry: { listen: '127.0.0.1:0' },
    admin: { listen: '127.0.0.1:0' },
    mesh: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    upstreams: { default: 'none', others: 'none' },
    log: { level: 'fatal' },
    ...settings
  })
  const { config } = await loadConfig({ text, environment: {} })
  const node = await startNode(config, { log: createLog(config.log) })
  running.push(node)
  return node
}

async function startNodeOf(seed: RunningNode, settings: object): Promise<RunningNode> {
  const { meshAddresses, peerId } = seed.info
  const mesh = { listen: ['/ip4/127.0.0.1/tcp/0'], join: meshAddresses }
  const node = await start('node', { mesh, trust: [{ peerId }], ...settings })
  await expect.poll(async () => (await fetch(`${node.info.admin}/readyz`)).status).toBe(200)
  return node
}

const as = (user: string | undefined): Record<string, string> =>
  user === undefined ? {} : { authorization: `Basic ${Buffer.from(`${user}:${user}`).toString('base64')}` }

async function pushBlob(node: RunningNode, text: string, user?: string): Promise<{ digest: Digest; size: number }> {
  const bytes = Buffer.from(text)
  const url = `${node.info.registry}/v2/team/app/blobs/uploads/?digest=${digestOf(bytes)}`
  const answer = await fetch(url, { method: 'POST', body: new Uint8Array(bytes), headers: as(user) })
  expect(answer.status).toBe(201)
  return { digest: digestOf(bytes), size: bytes.byteLength }
}

/** @returns the status of the manifest's PUT, and the digest of its layer */
async function push(node: RunningNode, tag: string, text: string, user?: string) {
  const config = { mediaType: MEDIA_TYPE.ociConfig, ...(await pushBlob(node, '{}', user)) }
  const layer = { mediaType: MEDIA_TYPE.ociLayerGzip, ...(await pushBlob(node, text, user)) }
  const body = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers: [layer] })
  const url = `${node.info.registry}/v2/team/app/manifests/${tag}`
  const headers = { 'content-type': MEDIA_TYPE.ociManifest, ...as(user) }
  const answer = await fetch(url, { method: 'PUT', body, headers })
  return { status: answer.status, answer: await answer.text(), layer: layer.digest }
}

async function remove(node: RunningNode, path: string, user?: string): Promise<number> {
  const url = `${node.info.registry}/v2/team/app/${path}`
  return (await fetch(url, { method: 'DELETE', headers: as(user) })).status
}

it('counts by the rules of the seed, whatever the node would allow', async () => {
  const seed = await start('seed', { role: 'seed', access: grants(...STRICT) })
  const node = await startNodeOf(seed, { access: grants(EVERYTHING) })
  const first = await push(node, '1', 'one', 'carol')
  expect(first.status).toBe(201)
  const second = await push(node, '1', 'two', 'carol')
  expect(second).toMatchObject({ status: 403, answer: expect.stringMatching(/carol may not update the tag 1/) })
  expect((await push(node, '1', 'two', 'eve')).status).toBe(403)
  expect((await push(node, '2', 'two')).status).toBe(401)
  expect(await remove(node, `blobs/${first.layer}`, 'carol')).toBe(403)
  expect(await remove(node, 'manifests/1', 'carol')).toBe(403)
  for (const at of [seed, node]) {
    const url = `${at.info.registry}/v2/team/app/blobs/${first.layer}`
    expect((await fetch(url, { headers: as('carol') })).status).toBe(200)
  }
  expect((await push(node, '1', 'two', 'dave')).status).toBe(201)
  expect(await remove(node, `blobs/${first.layer}`, 'dave')).toBe(202)
  expect(await remove(node, 'manifests/1', 'dave')).toBe(202)

  const headers = { authorization: `Bearer ${(await readFile(join(directory, 'seed', 'admin.token'), 'utf8')).trim()}` }
  const history = await fetch(`${seed.info.admin}/api/v1/tags/history?reference=team/app:1`, { headers })
  const { peerId } = node.info
  expect(await history.json()).toMatchObject([
    { actor: 'dave', node: peerId },
    { actor: 'dave', node: peerId },
    { actor: 'carol', node: peerId }
  ])
})

it('is the word of an anonymous client where the node asks nobody who they are', async () => {
  const seed = await start('seed', { role: 'seed', access: grants(...STRICT) })
  const node = await startNodeOf(seed, {})
  // It has no challenge to answer with, so that this is no 401.
  expect((await push(node, '1', 'one')).status).toBe(403)
  expect((await push(node, '1', 'one', 'carol')).status).toBe(403)
})

it('can be undone no more where tags are immutable at the seed', async () => {
  const seed = await start('seed', { role: 'seed', tags: { immutable: [{ repositories: 'team/*', tags: 'v*' }] } })
  const node = await startNodeOf(seed, {})
  expect((await push(node, 'v1', 'one')).status).toBe(201)
  expect((await push(node, 'v1', 'one')).status).toBe(201)
  expect(await push(node, 'v1', 'two')).toMatchObject({ status: 403, answer: expect.stringMatching(/v1 is immutable/) })
  expect(await remove(node, 'manifests/v1')).toBe(403)
})

it('says in a Warning when the seed is gone, as long as the policy allows to answer at all', async () => {
  const seed = await start('seed', { role: 'seed' })
  const freshness = [{ repositories: 'team/*', maxAge: '0s', maxStale: '1h' }]
  const node = await startNodeOf(seed, { freshness })
  expect((await push(node, '1', 'one')).status).toBe(201)
  const url = `${node.info.registry}/v2/team/app/manifests/1`
  expect((await fetch(url)).headers.get('warning')).toBeNull()
  await seed.stop(AbortSignal.timeout(0))
  const stale = await fetch(url)
  expect([stale.status, stale.headers.get('warning')]).toEqual([
    200,
    expect.stringMatching(/^299 - "no seed answers; this tag was last confirmed \d+ s ago"$/)
  ])
})

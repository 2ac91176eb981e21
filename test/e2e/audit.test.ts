import { readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { setUser } from '@layermesh/node'
import { expect, test } from 'vitest'
import { eventually, HANG_MS, request } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'

const PASSWORD = 'correct horse battery staple'
const RULES = [
  {
    repositories: 'team/**',
    grant: [
      { users: ['alice'], actions: ['pull', 'create', 'update', 'delete'] },
      { users: ['bob'], actions: ['pull'] }
    ]
  }
]

const sandbox = useSandbox()

interface Entry {
  readonly action: string
  readonly result: string
  readonly node: string
  readonly [field: string]: unknown
}

async function startSecured(name: string, more: Partial<Parameters<typeof MeshNode.start>[1]> = {}): Promise<MeshNode> {
  const htpasswd = join(sandbox.directory, 'htpasswd')
  for (const user of ['alice', 'bob']) await setUser(htpasswd, user, PASSWORD)
  const settings = { access: { htpasswd, rules: RULES } }
  return await MeshNode.start(sandbox, { name, role: 'seed', settings, ...more })
}

function as(user: string, password = PASSWORD): Record<string, string> {
  return { Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` }
}

/** Tries to push an image without layers. @returns the status that the manifest was answered with */
async function push(node: MeshNode, user: string): Promise<number> {
  const base = `${node.registryUrl}/v2/team/app`
  const config = { digest: 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', size: 2 }
  await request(`${base}/blobs/uploads/?digest=${config.digest}`, { method: 'POST', body: '{}', headers: as(user) })
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const body = JSON.stringify({
    schemaVersion: 2,
    mediaType,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
    layers: []
  })
  const headers = { 'Content-Type': mediaType, ...as(user) }
  return (await request(`${base}/manifests/1`, { method: 'PUT', body, headers })).status
}

async function entriesOf(node: MeshNode, count: number): Promise<Entry[]> {
  return await eventually(`${node.name} has written ${count} lines`, HANG_MS, async () => {
    const lines = (await readFile(join(node.dataDirectory, 'audit.log'), 'utf8')).split('\n').filter(Boolean)
    return lines.length >= count ? lines.map((line) => JSON.parse(line) as Entry) : undefined
  })
}

test('the audit log tells who did what, and who was refused, without any password', async () => {
  const seed = await startSecured('seed')
  expect(await push(seed, 'alice')).toBe(201)
  expect(await push(seed, 'bob')).toBe(403)
  const base = `${seed.registryUrl}/v2/team/app`
  expect((await request(`${base}/manifests/1`, { headers: as('bob') })).status).toBe(200)
  expect((await request(`${base}/manifests/1`, { headers: as('bob', 'a guess') })).status).toBe(401)
  const asked = await request(`${base}/manifests/1`)
  expect(asked.status).toBe(401)
  const [, realm, service] = /realm="([^"]+)",service="([^"]+)"/.exec(asked.headers.get('www-authenticate') ?? '') ?? []
  const token = await request(`${realm}?service=${service}`, { headers: as('alice') })
  expect(token.status).toBe(200)
  expect((await request(`${base}/manifests/1`, { method: 'DELETE', headers: as('alice') })).status).toBe(202)

  const alice = { actor: 'alice', address: '127.0.0.1', node: seed.peerId, result: 'allowed' }
  const entries = await entriesOf(seed, 9)
  expect(entries).toMatchObject([
    { ...alice, action: 'push', repository: 'team/app' },
    { action: 'tag.set', result: 'allowed', actor: 'alice', repository: 'team/app', reference: '1' },
    { ...alice, action: 'push', reference: '1' },
    { action: 'push', result: 'denied', actor: 'bob', repository: 'team/app' },
    { action: 'push', result: 'denied', actor: 'bob', repository: 'team/app', reference: '1' },
    { action: 'login', result: 'denied', actor: 'bob', details: { source: 'htpasswd' } },
    { ...alice, action: 'login' },
    { action: 'tag.deleted', actor: 'alice', reference: '1' },
    { ...alice, action: 'delete', reference: '1' }
  ])
  expect(entries).toHaveLength(9)
  const text = JSON.stringify(entries)
  for (const secret of [PASSWORD, 'a guess', as('alice').Authorization?.slice(6) ?? '']) {
    expect(text).not.toContain(secret)
  }
})

test('a seed tells of what nodes passed on, and a file that was moved away is opened anew', async () => {
  const seed = await startSecured('writing-seed')
  const node = await startSecured('writing-node', { role: 'node', join: [seed], seed })
  expect(await push(node, 'alice')).toBe(201)
  expect(await entriesOf(node, 2)).toMatchObject([{ action: 'push' }, { action: 'push', reference: '1' }])
  expect(await entriesOf(seed, 2)).toMatchObject([
    { action: 'tag.set', actor: 'alice', via: node.peerId },
    { action: 'push', actor: 'alice', via: node.peerId, reference: '1' }
  ])

  const file = join(seed.dataDirectory, 'audit.log')
  await rename(file, `${file}.moved`)
  seed.process.signal('SIGHUP')
  expect(await push(seed, 'bob')).toBe(403)
  expect(await entriesOf(seed, 2)).toMatchObject([
    { result: 'denied', actor: 'bob' },
    { result: 'denied', actor: 'bob' }
  ])
  expect((await seed.status()).peerId).toBe(seed.peerId)
})

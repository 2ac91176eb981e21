import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setUser } from '@layermesh/access/basics'
import { loadOrCreateKey, peerIdOf } from '@layermesh/trust'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadConfig } from '../config/index.ts'
import { createLog } from '../log.ts'
import { type RunningNode, startNode } from '../node.ts'

const EMPTY = 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a'
const signal = () => AbortSignal.timeout(120_000)

let directory: string
let running: RunningNode[]

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'layermesh-access-'))
  running = []
  await setUsers({ alice: 'secret' })
})
afterEach(async () => {
  await Promise.all(running.map((node) => node.stop(AbortSignal.timeout(0))))
  await rm(directory, { recursive: true, force: true })
})

async function setUsers(users: Readonly<Record<string, string>>): Promise<void> {
  await rm(join(directory, 'users'), { force: true })
  for (const [user, password] of Object.entries(users)) await setUser(join(directory, 'users'), user, password, 5)
}

async function start(name: string, settings: object = {}, access: object = {}): Promise<RunningNode> {
  const text = JSON.stringify({
    dataDir: join(directory, name),
    registry: { listen: '127.0.0.1:0' },
    admin: { listen: '127.0.0.1:0' },
    mesh: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    upstreams: { default: 'none', others: 'none' },
    log: { level: 'fatal' },
    access: {
      htpasswd: join(directory, 'users'),
      rules: [{ repositories: 'team/**', grant: [{ users: ['alice'], actions: ['pull', 'create'] }] }],
      ...access
    },
    ...settings
  })
  const { config } = await loadConfig({ text, environment: {} })
  const node = await startNode(config, { log: createLog(config.log) })
  running.push(node)
  return node
}

const basic = (user: string, password: string) => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
})
const ask = (node: RunningNode, path: string, init: RequestInit = {}) =>
  fetch(`${node.info.registry}${path}`, { signal: signal(), ...init })

async function tokenOf(node: RunningNode, headers: Record<string, string>, scope = 'repository:team/app:pull,push') {
  const answer = await ask(node, `/auth/token?service=layermesh&scope=${scope}`, { headers })
  expect(answer.status).toBe(200)
  return ((await answer.json()) as { token: string }).token
}
const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
const push = (node: RunningNode, headers: Record<string, string>) =>
  ask(node, `/v2/team/app/blobs/uploads/?digest=${EMPTY}`, { method: 'POST', body: '{}', headers })

const connected = (node: RunningNode, peers = 1) =>
  until(async () => {
    const answer = await fetch(`${node.info.admin}/api/v1/status`, { signal: signal() })
    return ((await answer.json()) as { peers: number }).peers >= peers
  })

/** Asks again until it is so; the test's own timeout ends it. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 20))
}

describe('a seed with access control', () => {
  it('leads a client to its tokens, and lets it do with one what it asked for', async () => {
    const seed = await start('seed', { role: 'seed' })
    const challenged = await ask(seed, '/v2/')
    expect(challenged.status).toBe(401)
    expect(challenged.headers.get('www-authenticate')).toBe(
      `Bearer realm="${seed.info.registry}/auth/token",service="layermesh"`
    )
    const token = await tokenOf(seed, basic('alice', 'secret'))
    expect((await ask(seed, '/v2/', { headers: bearer(token) })).status).toBe(200)
    expect((await push(seed, bearer(token))).status).toBe(201)
    const narrow = await tokenOf(seed, basic('alice', 'secret'), 'repository:team/app:pull')
    const refused = await push(seed, bearer(narrow))
    expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([
      401,
      expect.stringContaining('scope="repository:team/app:pull,push",error="insufficient_scope"')
    ])
  })

  it('takes a password with each request too, and refuses a wrong one', async () => {
    const seed = await start('seed', { role: 'seed' }, { challenge: 'basic' })
    expect((await push(seed, basic('alice', 'secret'))).status).toBe(201)
    const refused = await push(seed, basic('alice', 'wrong'))
    expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([401, expect.stringMatching(/^Basic /)])
  })

  it('lets nobody on with a token whose user was removed meanwhile', async () => {
    const seed = await start('seed', { role: 'seed' })
    const token = await tokenOf(seed, basic('alice', 'secret'))
    await setUsers({ bob: 'secret' })
    expect((await ask(seed, '/v2/', { headers: bearer(token) })).status).toBe(401)
  })

  it('lists its repositories to whoever may pull from them, by a token for that', async () => {
    const seed = await start('seed', { role: 'seed' })
    const token = await tokenOf(seed, basic('alice', 'secret'))
    expect((await push(seed, bearer(token))).status).toBe(201)
    const manifest = { schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json', layers: [] }
    const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: EMPTY, size: 2 }
    const put = await ask(seed, '/v2/team/app/manifests/1', {
      method: 'PUT',
      headers: { ...bearer(token), 'content-type': manifest.mediaType },
      body: JSON.stringify({ ...manifest, config })
    })
    expect(put.status).toBe(201)
    const listed = async (scope: string) => {
      const headers = bearer(await tokenOf(seed, basic('alice', 'secret'), scope))
      return await (await ask(seed, '/v2/_catalog', { headers })).json()
    }
    expect(await listed('registry:catalog:*')).toEqual({ repositories: ['team/app'] })
    expect(await listed('repository:team/other:pull')).toEqual({ repositories: [] })
  })

  it('takes other rules while it runs, for tokens that were given before as well', async () => {
    const seed = await start('seed', { role: 'seed' })
    const token = await tokenOf(seed, basic('alice', 'secret'))
    expect((await push(seed, bearer(token))).status).toBe(201)
    const text = 'access: { rules: [{ repositories: "team/**", grant: [{ users: [alice], actions: [pull] }] }] }'
    seed.setAccessRules((await loadConfig({ text, environment: {} })).config)
    expect((await push(seed, bearer(token))).status).toBe(403)
    seed.setAccessRules((await loadConfig({ text: 'role: seed', environment: {} })).config)
    expect((await push(seed, bearer(token))).status).toBe(403)
  })

  it('counts log-ins', async () => {
    const seed = await start('seed', { role: 'seed' })
    await tokenOf(seed, basic('alice', 'secret'))
    await ask(seed, '/auth/token', { headers: basic('alice', 'wrong') })
    const metrics = await (await fetch(`${seed.info.admin}/metrics`, { signal: signal() })).text()
    expect(metrics).toContain('layermesh_logins_total{result="success"} 1')
    expect(metrics).toContain('layermesh_logins_total{result="failure"} 1')
  })

  it('has its token endpoint on the registry only', async () => {
    const seed = await start('seed', { role: 'seed', registry: { listen: '127.0.0.1:0', mirrorListen: '127.0.0.1:0' } })
    expect((await fetch(`${seed.info.mirror}/auth/token`, { signal: signal() })).status).toBe(404)
    expect((await ask(seed, '/auth/token/')).status).toBe(404)
  })

  it('shows what it holds by its admin API to those with the token only', async () => {
    const seed = await start('seed', { role: 'seed' })
    expect((await fetch(`${seed.info.admin}/api/v1/images`, { signal: signal() })).status).toBe(401)
  })

  it('does not start without its users', async () => {
    await rm(join(directory, 'users'))
    await expect(start('seed', { role: 'seed' })).rejects.toMatchObject({ code: 'HTPASSWD_UNREADABLE' })
  })
})

describe('a node that is no seed', () => {
  async function startBoth(access: object = {}) {
    const seed = await start('seed', { role: 'seed' })
    const node = await start(
      'node',
      {
        mesh: { listen: ['/ip4/127.0.0.1/tcp/0'], join: seed.info.meshAddresses },
        trust: [{ peerId: seed.info.peerId }]
      },
      access
    )
    await connected(node)
    return { seed, node }
  }

  it('gives tokens that the seed has made, though it has no users itself, and they hold at both', async () => {
    const { seed, node } = await startBoth({ htpasswd: undefined })
    const token = await tokenOf(node, basic('alice', 'secret'))
    expect(claimsOf(token).iss).toBe(seed.info.peerId)
    expect((await push(node, bearer(token))).status).toBe(201)
    expect((await push(seed, bearer(token))).status).toBe(201)
    const refused = await ask(node, '/auth/token', { headers: basic('alice', 'wrong') })
    expect(refused.status).toBe(401)
  })

  it('gives refresh tokens of the seed, which give tokens of the seed', async () => {
    const { seed, node } = await startBoth({ htpasswd: undefined })
    const answer = await ask(node, '/auth/token?offline_token=true', { headers: basic('alice', 'secret') })
    const { refresh_token } = (await answer.json()) as { refresh_token: string }
    const body = new URLSearchParams({ grant_type: 'refresh_token', refresh_token, scope: 'repository:team/app:pull' })
    const refreshed = await ask(node, '/auth/token', { method: 'POST', body })
    expect(claimsOf(((await refreshed.json()) as { token: string }).token)).toMatchObject({
      iss: seed.info.peerId,
      sub: 'alice',
      access: [{ name: 'team/app', actions: ['pull'] }]
    })
  })

  it('knows API keys that the seed has made, also while it is gone, until they are revoked', async () => {
    const { seed, node } = await startBoth()
    const admin = async (method: string, body: object) => {
      const token = await readFile(join(directory, 'seed', 'admin.token'), 'utf8')
      const headers = { authorization: `Bearer ${token.trim()}`, 'content-type': 'application/json' }
      const answer = await fetch(`${seed.info.admin}/api/v1/keys`, { method, headers, body: JSON.stringify(body) })
      expect(answer.status).toBe(200)
      return (await answer.json()) as { key: string; id: string }
    }
    const scopes = [{ repositories: 'team/**', actions: ['pull', 'create', 'delete'] }]
    const first = await admin('POST', { user: 'alice', scopes, lifetimeMs: 3_600_000 })
    const second = await admin('POST', { user: 'alice', scopes, lifetimeMs: 3_600_000 })
    const statusOf = async ({ key }: { key: string }) => (await ask(node, '/v2/', { headers: bearer(key) })).status
    await until(async () => (await statusOf(first)) === 200 && (await statusOf(second)) === 200)
    expect((await push(node, basic('any', first.key))).status).toBe(201)
    const token = await tokenOf(node, basic('any', first.key))
    expect((await push(node, bearer(token))).status).toBe(201)

    await admin('DELETE', { id: first.id })
    await until(async () => (await statusOf(first)) === 401)
    expect((await push(node, bearer(token))).status).toBe(401)
    await seed.stop(AbortSignal.timeout(0))
    expect(await statusOf(second)).toBe(200)
  })

  it('judges by its own users while the seed is gone, for itself', async () => {
    const { seed, node } = await startBoth()
    await seed.stop(AbortSignal.timeout(0))
    const token = await tokenOf(node, basic('alice', 'secret'))
    expect(claimsOf(token).iss).toBe(node.info.peerId)
    expect((await ask(node, '/v2/', { headers: bearer(token) })).status).toBe(200)
  })
})

describe('two seeds that sign for different repositories', () => {
  async function startAll() {
    const rule = (repositories: string) => ({
      repositories,
      grant: [{ users: ['alice'], actions: ['pull', 'create'] }]
    })
    const access = { rules: [rule('team/**'), rule('prod/**')] }
    const ids = await Promise.all(
      ['team', 'prod'].map(async (name) => peerIdOf(await loadOrCreateKey(join(directory, name))))
    )
    const trust = [
      { peerId: ids[0], repositories: ['team/**'] },
      { peerId: ids[1], repositories: ['prod/**'] }
    ]
    const team = await start('team', { role: 'seed', trust }, access)
    const mesh = { listen: ['/ip4/127.0.0.1/tcp/0'], join: team.info.meshAddresses }
    const prod = await start('prod', { role: 'seed', trust, mesh }, access)
    const node = await start(
      'node',
      { trust, mesh: { ...mesh, join: [...mesh.join, ...prod.info.meshAddresses] } },
      access
    )
    await connected(node, 2)
    await connected(team, 2)
    return { team, prod, node }
  }

  it('each make the tokens for what they sign, whichever node a client asks', async () => {
    const { team, prod, node } = await startAll()
    for (const asked of [node, team, prod]) {
      for (const [repository, signer] of [
        ['team/app', team],
        ['prod/app', prod]
      ] as const) {
        const token = await tokenOf(asked, basic('alice', 'secret'), `repository:${repository}:pull,push`)
        expect(claimsOf(token).iss).toBe(signer.info.peerId)
        const pushed = await ask(asked, `/v2/${repository}/blobs/uploads/?digest=${EMPTY}`, {
          method: 'POST',
          body: '{}',
          headers: bearer(token)
        })
        expect(pushed.status).toBe(201)
        const read = bearer(await tokenOf(asked, basic('alice', 'secret'), `repository:${repository}:pull`))
        expect((await ask(asked, `/v2/${repository}/blobs/${EMPTY}`, { headers: read })).status).toBe(200)
      }
    }
  })
})

import { beforeAll, expect, test } from 'vitest'
import { PUSHING_CLIENTS, type PushingClient, REFUSED } from '../support/clients/pushing-clients.ts'
import { eventually, HANG_MS, request } from '../support/http.ts'
import { LAYERMESH, MeshNode } from '../support/node.ts'
import { runOk } from '../support/process.ts'
import { describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'

const ACCESS = {
  rules: [{ repositories: '**', grant: [{ users: ['ci'], actions: ['pull', 'create', 'update', 'delete'] }] }]
}

const sandbox = useSandbox()
let seed: MeshNode
let node: MeshNode

beforeAll(async () => {
  seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed', settings: { access: ACCESS } })
  node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed, settings: { access: ACCESS } })
})

const token = (...args: string[]) => runOk(LAYERMESH, ['token', ...args, '--data', seed.dataDirectory])

/** Makes a key and waits until both nodes know it. */
async function newKey(...flags: string[]): Promise<{ key: string; id: string }> {
  const made = JSON.parse(await token('new', '--user', 'ci', ...flags, '--json')) as { key: string; id: string }
  await untilBoth(made.key, 200)
  return made
}

async function untilBoth(key: string, status: number): Promise<void> {
  for (const { name, registryUrl } of [seed, node]) {
    await eventually(`${name} answers ${status}`, HANG_MS, async () => {
      const answer = await request(`${registryUrl}/v2/`, { headers: { authorization: `Bearer ${key}` } })
      return answer.status === status || undefined
    })
  }
}

/** What the tag 1 of a repository means at the seed. */
async function digestOf(repository: string, key: string): Promise<string | null> {
  const headers = { authorization: `Bearer ${key}`, accept: '*/*' }
  const { status, headers: answered } = await request(`${seed.registryUrl}/v2/${repository}/manifests/1`, { headers })
  expect(status).toBe(200)
  return answered.get('docker-content-digest')
}

for (const [name, { programs, create }] of Object.entries(PUSHING_CLIENTS)) {
  describeWith(programs, name, () => {
    let client: PushingClient

    beforeAll(async () => {
      client = await create(sandbox)
    })

    test('pushes and pulls with an API key at both, within its scopes, until it is revoked', async () => {
      const { key, id } = await newKey('--repositories', 'team/**', '--actions', 'pull,create')
      for (const { registryHost } of [seed, node]) await client.login(registryHost, 'ci', key)
      await client.push(`${node.registryHost}/team/by-${name}:1`)
      await client.pull(`${seed.registryHost}/team/by-${name}:1`)
      await client.push(`${seed.registryHost}/team/by-${name}:2`)
      await client.pull(`${node.registryHost}/team/by-${name}:2`)
      const before = await digestOf(`team/by-${name}`, key)
      for (const { registryHost } of [seed, node]) {
        await expect(client.push(`${registryHost}/other/by-${name}:1`)).rejects.toThrow(REFUSED)
        await expect(client.push(`${registryHost}/team/by-${name}:1`)).rejects.toThrow()
      }
      expect(await digestOf(`team/by-${name}`, key)).toBe(before)
      await token('revoke', id)
      await untilBoth(key, 401)
      for (const { registryHost } of [seed, node]) {
        await expect(client.pull(`${registryHost}/team/by-${name}:1`)).rejects.toThrow(REFUSED)
      }
    })

    test('only pulls with an API key for pulls', async () => {
      const writer = await newKey('--repositories', 'team/**', '--actions', 'pull,create')
      const reader = await newKey('--repositories', 'team/**')
      await client.login(node.registryHost, 'whoever', writer.key)
      await client.push(`${node.registryHost}/team/read-by-${name}:1`)
      await client.login(node.registryHost, 'whoever', reader.key)
      await client.pull(`${node.registryHost}/team/read-by-${name}:1`)
      await expect(client.push(`${node.registryHost}/team/read-by-${name}:2`)).rejects.toThrow(REFUSED)
    })
  })
}

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { Docker } from '../support/clients/docker.ts'
import { PUSHING_CLIENTS, type PushingClient, REFUSED } from '../support/clients/pushing-clients.ts'
import { request } from '../support/http.ts'
import { writeDockerArchive } from '../support/images/docker-archive.ts'
import { type BuiltImage, buildImage } from '../support/images/image.ts'
import { LAYERMESH, MeshNode } from '../support/node.ts'
import { runOk } from '../support/process.ts'
import { describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'

const GROUPS = { readers: ['rita'] }
const RULES = [
  {
    repositories: 'public/**',
    grant: [
      { anyone: true, actions: ['pull'] },
      { users: ['alice'], actions: ['create'] }
    ]
  },
  {
    repositories: 'team/**',
    grant: [
      { users: ['alice', 'dora'], actions: ['pull', 'create', 'update', 'delete'] },
      { groups: ['readers'], actions: ['pull'] }
    ]
  }
]

const sandbox = useSandbox()
let users: string
let seed: MeshNode
/** It has no users of its own: the seed judges their passwords. */
let node: MeshNode

async function addUser(name: string, password: string): Promise<void> {
  await writeFile(join(sandbox.directory, 'password'), `${password}\n`)
  const command = `"${LAYERMESH}" user add "$1" --htpasswd "$2" < "$3"`
  await runOk('sh', ['-c', command, 'sh', name, users, join(sandbox.directory, 'password')])
}

beforeAll(async () => {
  users = join(sandbox.directory, 'users')
  await addUser('alice', 'pass:wörd')
  await addUser('rita', 'reads')
  const access = { groups: GROUPS, rules: RULES }
  seed = await MeshNode.start(sandbox, {
    name: 'seed',
    role: 'seed',
    settings: { access: { ...access, htpasswd: users } }
  })
  node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed, settings: { access } })
})

function smallImage(): Promise<BuiltImage> {
  return buildImage(join(sandbox.directory, 'small'), { name: 'small', noiseBytes: 64 * 1024 })
}

const TARGETS = [
  ['a seed', () => ({ to: seed, other: node })],
  ['a node that is no seed', () => ({ to: node, other: seed })]
] as const

for (const [name, { programs, create }] of Object.entries(PUSHING_CLIENTS)) {
  describeWith(programs, name, () => {
    let client: PushingClient

    beforeAll(async () => {
      client = await create(sandbox)
    })

    describe.each(TARGETS)('at %s', (where, sides) => {
      const repository = `by-${name}-${where.replaceAll(' ', '-')}`

      test('is refused without a password, and with a wrong one', async () => {
        const { to } = sides()
        const attempt = async () => {
          await client.login(to.registryHost, 'alice', 'wrong')
          await client.pull(`${to.registryHost}/team/${repository}:1`)
        }
        await expect(client.push(`${to.registryHost}/team/${repository}:1`)).rejects.toThrow(REFUSED)
        await expect(attempt()).rejects.toThrow(REFUSED)
        await client.logout(to.registryHost).catch(() => {})
      })

      test('logs in, pushes, and pulls at both', async () => {
        const { to, other } = sides()
        for (const { registryHost } of [to, other]) await client.login(registryHost, 'alice', 'pass:wörd')
        await client.push(`${to.registryHost}/team/${repository}:1`)
        await client.pull(`${to.registryHost}/team/${repository}:1`)
        await client.pull(`${other.registryHost}/team/${repository}:1`)
        await expect(client.push(`${to.registryHost}/other/${repository}:1`)).rejects.toThrow(REFUSED)
        for (const { registryHost } of [to, other]) await client.logout(registryHost)
      })

      test('pulls as one of a group that may do no more', async () => {
        const { to } = sides()
        await client.login(to.registryHost, 'rita', 'reads')
        await client.pull(`${to.registryHost}/team/${repository}:1`)
        await expect(client.push(`${to.registryHost}/team/${repository}:2`)).rejects.toThrow(REFUSED)
        await client.logout(to.registryHost)
        await expect(client.pull(`${to.registryHost}/team/${repository}:1`)).rejects.toThrow(REFUSED)
      })

      test('pulls without a password what anyone may pull, and pushes nothing there', async () => {
        const { to } = sides()
        await client.login(to.registryHost, 'alice', 'pass:wörd')
        await client.push(`${to.registryHost}/public/${repository}:1`)
        await client.logout(to.registryHost)
        await client.pull(`${to.registryHost}/public/${repository}:1`)
        await expect(client.push(`${to.registryHost}/public/${repository}:2`)).rejects.toThrow(REFUSED)
      })
    })
  })
}

describeWith(PUSHING_CLIENTS.docker.programs, 'a password that docker was given', () => {
  test('is not kept: a refresh token is, which is worth nothing once the password is another', async () => {
    const docker = await Docker.start(sandbox, { name: 'docker-2' })
    await addUser('dora', 'first')
    await docker.login(node.registryHost, 'dora', 'first')
    const stored = await docker.storedLogin(node.registryHost)
    expect(stored.identitytoken).toMatch(/^eyJ/)
    expect(Buffer.from(stored.auth ?? '', 'base64').toString()).toBe('dora:')

    const reference = `${node.registryHost}/team/by-dora:1`
    await docker.load(await writeDockerArchive(await smallImage(), sandbox.directory, reference))
    await docker.push(reference)
    await addUser('dora', 'second')
    await expect(docker.pull(reference)).rejects.toThrow(REFUSED)
    await docker.login(node.registryHost, 'dora', 'second')
    await docker.pull(reference)
  })
})

describeWith(
  [...PUSHING_CLIENTS.podman.programs, ...PUSHING_CLIENTS.containerd.programs],
  'a registry that asks for the password each time',
  () => {
    test('is given it by podman and containerd', async () => {
      const basic = await MeshNode.start(sandbox, {
        name: 'basic',
        role: 'seed',
        settings: { access: { challenge: 'basic', htpasswd: users, groups: GROUPS, rules: RULES } }
      })
      for (const name of ['podman', 'containerd'] as const) {
        const reference = `${basic.registryHost}/team/basic:${name}`
        const client = await PUSHING_CLIENTS[name].create(sandbox, { name: `basic-${name}` })
        await expect(client.push(reference)).rejects.toThrow(REFUSED)
        await client.login(basic.registryHost, 'alice', 'pass:wörd')
        await client.push(reference)
        await client.pull(reference)
      }
    })
  }
)

describe('many wrong passwords', () => {
  const login = async (password: string) => {
    const authorization = `Basic ${Buffer.from(`mallory:${password}`).toString('base64')}`
    return (await request(`${seed.registryUrl}/auth/token`, { headers: { authorization } })).status
  }

  test('are answered with 429 in the end, and others are let in meanwhile', async () => {
    const statuses: number[] = []
    for (let i = 0; i < 25; i++) statuses.push(await login(`guess ${i}`))
    expect(new Set(statuses)).toEqual(new Set([401, 429]))
    const authorization = `Basic ${Buffer.from('alice:pass:wörd').toString('base64')}`
    const { status } = await request(`${seed.registryUrl}/auth/token`, { headers: { authorization } })
    expect(status).toBe(200)
  })
})

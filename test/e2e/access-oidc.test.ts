import { beforeAll, describe, expect, test } from 'vitest'
import { PUSHING_CLIENTS, type PushingClient, REFUSED } from '../support/clients/pushing-clients.ts'
import { request } from '../support/http.ts'
import { IdentityProvider } from '../support/identity-provider.ts'
import { MeshNode } from '../support/node.ts'
import { describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'

const AUDIENCE = 'layermesh-test'

const sandbox = useSandbox()
let provider: IdentityProvider
let seed: MeshNode
let node: MeshNode

beforeAll(async () => {
  provider = await IdentityProvider.start(sandbox, { robot: 'first secret', other: 'second secret' }, AUDIENCE)
  const access = {
    oidc: [{ issuer: provider.issuer, audience: AUDIENCE, groupsClaim: 'groups', prefix: 'corp:' }],
    rules: [
      {
        repositories: 'team/**',
        grant: [
          { users: ['corp:robot'], actions: ['pull', 'create', 'update'] },
          { groups: ['corp:builders'], actions: ['pull'] }
        ]
      }
    ]
  }
  seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed', settings: { access } })
  node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed, settings: { access } })
})

for (const [name, { programs, create }] of Object.entries(PUSHING_CLIENTS)) {
  describeWith(programs, name, () => {
    let client: PushingClient

    beforeAll(async () => {
      client = await create(sandbox)
    })

    test('pushes and pulls with a token of an identity provider at both, by the rights of its user', async () => {
      const token = await provider.tokenFor('robot')
      for (const { registryHost } of [seed, node]) await client.login(registryHost, 'robot', token)
      await client.push(`${node.registryHost}/team/by-${name}:1`)
      await client.pull(`${seed.registryHost}/team/by-${name}:1`)
      await client.push(`${seed.registryHost}/team/by-${name}:1`)
      await expect(client.push(`${node.registryHost}/other/by-${name}:1`)).rejects.toThrow(REFUSED)
    })

    test('only pulls with one of another user, by the rights of a group', async () => {
      await client.login(node.registryHost, 'other', await provider.tokenFor('other'))
      await client.pull(`${node.registryHost}/team/by-${name}:1`)
      await expect(client.push(`${node.registryHost}/team/by-${name}:2`)).rejects.toThrow(REFUSED)
    })

    test('is refused with a token that was changed', async () => {
      const [header, claims] = (await provider.tokenFor('robot')).split('.')
      const [, , signature] = (await provider.tokenFor('other')).split('.')
      const attempt = async () => {
        await client.login(node.registryHost, 'robot', `${header}.${claims}.${signature}`)
        await client.pull(`${node.registryHost}/team/by-${name}:1`)
      }
      await expect(attempt()).rejects.toThrow(REFUSED)
    })
  })
}

describe('a token of an identity provider', () => {
  test('is taken as it is, as a Bearer token', async () => {
    const authorization = `Bearer ${await provider.tokenFor('robot')}`
    for (const { registryUrl } of [seed, node]) {
      expect((await request(`${registryUrl}/v2/`, { headers: { authorization } })).status).toBe(200)
    }
  })
})

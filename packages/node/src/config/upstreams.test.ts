import { resolve } from 'node:path'
import { expect, it } from 'vitest'
import { loadConfig } from './load.ts'

async function load(upstreams: object) {
  const { config } = await loadConfig({ text: JSON.stringify({ upstreams }) })
  return config.upstreams
}

const failure = (upstreams: object) => load(upstreams).catch((error: unknown) => error)

it('mirrors Docker Hub and all public registries when nothing is said', async () => {
  expect(await load({})).toEqual({ defaultHost: 'docker.io', others: 'public', registries: [] })
})

it('asks nobody when told so', async () => {
  expect(await load({ default: 'none', others: 'none' })).toEqual({ others: 'none', registries: [] })
})

it('knows where a listed registry is when only its name is given, and Docker Hub by all its names', async () => {
  const { registries } = await load({ registries: { 'index.docker.io': {}, 'Quay.io': {}, 'localhost:5000': {} } })
  expect(registries.map(({ host, url }) => [host, url])).toEqual([
    ['docker.io', 'https://registry-1.docker.io'],
    ['quay.io', 'https://quay.io'],
    ['localhost:5000', 'https://localhost:5000']
  ])
})

it('asks by a proxy when told so', async () => {
  const registries = { 'quay.io': { proxy: 'http://other.example' }, 'ghcr.io': {} }
  const config = await load({ proxy: 'https://proxy.example:3128', registries })
  expect(config.proxy).toBe('https://proxy.example:3128')
  expect(config.registries.map(({ proxy }) => proxy)).toEqual(['http://other.example', undefined])
})

it('shows no password of a proxy that it refuses', async () => {
  const error = await failure({ proxy: 'http://user:hunter2@proxy.example' })
  expect(String(error)).not.toContain('hunter2')
})

it('reads all of a registry, paths from the working directory', async () => {
  const given = {
    url: 'http://10.0.0.1:5000/',
    caFile: 'ca.pem',
    realmHosts: ['Auth.example'],
    credentials: { username: 'u', passwordFile: 'p' },
    clients: 'all',
    direct: false,
    proxy: 'none'
  }
  const { registries } = await load({ registries: { 'registry.example': given } })
  expect(registries).toEqual([
    {
      host: 'registry.example',
      url: 'http://10.0.0.1:5000',
      mirror: true,
      caFile: resolve('ca.pem'),
      realmHosts: ['auth.example'],
      credentials: { username: 'u', passwordFile: resolve('p') },
      clients: 'all',
      direct: false,
      proxy: 'none'
    }
  ])
})

it.each([
  [{ dockerConfig: 'c' }, { dockerConfig: resolve('c') }],
  [{ helper: 'pass' }, { helper: 'pass' }],
  [{ kubelet: { config: 'c', binDir: 'd' } }, { kubelet: { config: resolve('c'), binDir: resolve('d') } }],
  [{ ecr: {} }, { ecr: {} }],
  [{ ecr: { region: 'eu-west-1' } }, { ecr: { region: 'eu-west-1' } }],
  [{ google: {} }, { google: {} }],
  [{ google: { keyFile: 'k' } }, { google: { keyFile: resolve('k') } }],
  [{ google: { keyFile: '/k', showKey: true } }, { google: { keyFile: '/k', showKey: true } }],
  [{ acr: { tenantId: 't', clientSecretFile: 's' } }, { acr: { tenantId: 't', clientSecretFile: resolve('s') } }]
])('takes credentials from %j', async (given, expected) => {
  const { registries } = await load({ registries: { 'registry.example': { credentials: given } } })
  expect(registries[0]?.credentials).toEqual(expected)
})

it.each([
  [{}, /expected exactly one of username, dockerConfig/],
  [{ helper: 'a', ecr: {} }, /expected exactly one of/],
  [{ username: 'a' }, /expected username and passwordFile together/],
  [{ dockerConfig: 'c', passwordFile: 'p' }, /expected username and passwordFile together/],
  [{ google: { showKey: true } }, /expected keyFile too/],
  [{ acr: { authority: 'https://user:secret@login.example' } }, /expected an http: or https: URL without credentials/],
  [{ helper: '../evil' }, /expected the NAME of a program/],
  [{ password: 'secret' }, /there is no setting .*credentials\.password/]
])('refuses credentials of %j', async (credentials, message) => {
  const error = await failure({ registries: { 'registry.example': { credentials } } })
  expect(error).toMatchObject({ name: 'ConfigError', message: expect.stringMatching(message) })
})

it.each([
  [{ registries: { nothing: {} } }, /registries\.nothing: expected a registry host/],
  [{ registries: { 'a.example': { url: 'https://a.example/v2' } } }, /expected http:\/\/ or https:\/\/ and a host/],
  [{ registries: { 'a.example': { url: 'https://user:secret@a.example' } } }, /expected http:\/\/ or https:\/\//],
  [{ registries: { 'a.example': { mirrors: true } } }, /did you mean upstreams\.registries\.a\.example\.mirror\?/],
  [{ registries: { 'docker.io': {}, 'index.docker.io': {} } }, /names docker\.io twice/],
  [{ default: 'docker' }, /expected a registry host such as docker\.io, or none/],
  [{ proxy: 'socks5://proxy:1080' }, /upstreams\.proxy: expected a proxy such as http:.*, or none/],
  [{ proxy: 'http://user:secret@proxy:3128' }, /a user and password belong into HTTPS_PROXY/],
  [{ registries: { 'a.example': { proxy: 'http://a/b' } } }, /expected a proxy such as/],
  [{ others: 'all' }, /expected one of "public"\|"none"/]
])('refuses %j', async (upstreams, message) => {
  expect(await failure(upstreams)).toMatchObject({ name: 'ConfigError', message: expect.stringMatching(message) })
})

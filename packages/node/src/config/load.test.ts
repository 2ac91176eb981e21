import { resolve } from 'node:path'
import { expect, it } from 'vitest'
import type { Override } from './environment.ts'
import { ConfigError } from './errors.ts'
import { type ConfigSources, loadConfig } from './load.ts'

const PEER = '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp'
const OTHER = '12D3KooWRYyjkWEcHE9vdtCPpnKNEBtNxYxXnEBmjmQBa1vSoSoG'

function flag(name: string, path: string[], value: unknown, append = false): Override {
  return { origin: { kind: 'flag', flag: name }, path, value, append }
}

async function failure(sources: ConfigSources): Promise<ConfigError> {
  const error = await loadConfig({ ...(sources.text === undefined ? {} : { file: 'mesh.yaml' }), ...sources }).catch(
    (reason: unknown) => reason
  )
  expect(error).toBeInstanceOf(ConfigError)
  return error as ConfigError
}

it('needs no file: the defaults make a node on loopback', async () => {
  const { config } = await loadConfig({})
  expect(config).toMatchObject({
    role: 'node',
    zone: 'default',
    registry: { listen: { host: '127.0.0.1', port: 5000 }, ownHosts: [], readOnly: false, deletes: true },
    admin: { listen: { host: '127.0.0.1', port: 5001 } },
    mesh: { listen: ['/ip4/127.0.0.1/tcp/5002'], announce: [], join: [], allowWithoutSecret: false, maxPeers: 300 },
    trust: [],
    tags: { validityMs: 2_592_000_000 },
    freshness: [],
    store: {
      minFree: { bytes: 67_108_864 },
      keepFree: { share: 0.1 },
      highWatermark: 0.95,
      lowWatermark: 0.85,
      leaseMs: 300_000,
      garbage: { everyMs: 21_600_000, graceMs: 7_200_000, unfinishedAfterMs: 86_400_000 }
    },
    uploads: { maxSessions: 1000, idleTimeoutMs: 3_600_000 },
    pull: { deadlineMs: 800 },
    log: { level: 'info', format: 'auto' }
  })
  expect(config.dataDir).toBe(`${process.cwd()}/data`)
})

it('is frozen, all of it', async () => {
  const { config } = await loadConfig({ text: `trust: [{ peerId: ${PEER} }]` })
  for (const part of [config, config.mesh, config.mesh.listen, config.registry.listen, config.trust[0]]) {
    expect(Object.isFrozen(part)).toBe(true)
  }
})

it('takes a flag before the environment, that before the file, that before the default', async () => {
  const text = 'zone: file\nmesh:\n  maxPeers: 10\nstore:\n  minFree: 1GiB'
  const environment = { LAYERMESH_ZONE: 'env', LAYERMESH_MESH_MAX_PEERS: '20' }
  const loaded = await loadConfig({ file: 'f.yaml', text, environment, flags: [flag('--zone', ['zone'], 'flag')] })
  expect(loaded.config).toMatchObject({ zone: 'flag', mesh: { maxPeers: 20 }, store: { minFree: { bytes: 2 ** 30 } } })
  expect(loaded.origin(['zone'])).toEqual({ kind: 'flag', flag: '--zone' })
  expect(loaded.origin(['mesh', 'maxPeers'])).toEqual({ kind: 'environment', variable: 'LAYERMESH_MESH_MAX_PEERS' })
  expect(loaded.origin(['store', 'minFree'])).toEqual({ kind: 'file', file: 'f.yaml', line: 5 })
  expect(loaded.origin(['role'])).toBeUndefined()
})

it('reads every type of setting from the environment', async () => {
  const { config } = await loadConfig({
    environment: {
      LAYERMESH_DATA_DIR: '/var/lib/layermesh',
      LAYERMESH_REGISTRY_READ_ONLY: 'true',
      LAYERMESH_REGISTRY_OWN_HOSTS: 'a.example, b.example:5000',
      LAYERMESH_MESH_JOIN: '["seed:5002"]',
      LAYERMESH_TRUST: `[{"peerId": "${PEER}"}]`,
      LAYERMESH_PULL_DEADLINE: '2s',
      LAYERMESH_ZONE: ''
    }
  })
  expect(config).toMatchObject({
    dataDir: '/var/lib/layermesh',
    zone: 'default',
    registry: { readOnly: true, ownHosts: ['a.example', 'b.example:5000'] },
    mesh: { join: ['seed:5002'] },
    trust: [{ peerId: PEER }],
    pull: { deadlineMs: 2_000 }
  })
})

it('names the variable that holds a wrong value', async () => {
  const cases = {
    LAYERMESH_MESH_MAX_PEERS: 'many',
    LAYERMESH_REGISTRY_READ_ONLY: 'yes',
    LAYERMESH_TRUST: '[{',
    LAYERMESH_LOG_LEVEL: 'loud'
  }
  for (const [variable, value] of Object.entries(cases)) {
    const error = await failure({ environment: { [variable]: value } })
    expect(error.code).toBe('INVALID_VALUE')
    expect(error.message).toMatch(new RegExp(`^${variable}: `))
  }
})

it('adds a trusted peer of the command line to those of the file', async () => {
  const { config } = await loadConfig({
    text: `trust: [{ peerId: ${PEER}, repositories: [team/*] }]`,
    flags: [flag('--trust', ['trust'], { peerId: OTHER }, true)]
  })
  expect(config.trust).toEqual([{ peerId: PEER, repositories: ['team/*'] }, { peerId: OTHER }])
})

it('names the flag that holds a wrong value, also one that was added to a list', async () => {
  const listen = await failure({ flags: [flag('--listen', ['registry', 'listen'], '5000')] })
  expect(listen.message).toBe('--listen: registry.listen: expected HOST:PORT, such as 127.0.0.1:5000')
  const trust = await failure({ flags: [flag('--trust', ['trust'], { peerId: 'bob' }, true)] })
  expect(trust.message).toMatch(/^--trust: trust\[0]\.peerId: expected a peer id/)
})

it('tells an added peer from those of the file when one of them is wrong', async () => {
  const added = flag('--trust', ['trust'], { peerId: 'bob' }, true)
  const byFlag = await failure({ text: `trust: [{ peerId: ${PEER} }]`, flags: [added] })
  expect(byFlag).toMatchObject({ key: 'trust[1].peerId', origin: { kind: 'flag', flag: '--trust' } })
  const good = flag('--trust', ['trust'], { peerId: OTHER }, true)
  const byFile = await failure({ text: 'trust:\n  - peerId: bob', flags: [good] })
  expect(byFile).toMatchObject({ key: 'trust[0].peerId', line: 2 })
})

it('refuses an unknown key with its line and the nearest one that is known', async () => {
  const error = await failure({ text: 'role: seed\n\nmesh:\n  maxPeers: 5\n  jion: [a:1]\n' })
  expect(error).toMatchObject({ code: 'UNKNOWN_KEY', key: 'mesh.jion', line: 5 })
  expect(error.message).toBe('mesh.yaml:5: there is no setting mesh.jion; did you mean mesh.join?')
})

it('says where a key belongs that stands in the wrong place', async () => {
  const error = await failure({ text: 'join: [a:1]' })
  expect(error.message).toBe('mesh.yaml:1: there is no setting join; did you mean mesh.join?')
})

it('refuses an unknown key inside a list', async () => {
  const error = await failure({ text: `trust:\n  - peerId: ${PEER}\n    repos: ['**']\n` })
  expect(error).toMatchObject({ code: 'UNKNOWN_KEY', key: 'trust[0].repos', line: 3 })
})

it('tells of the misspelt key rather than of the one that is missing for it', async () => {
  const error = await failure({ text: `trust:\n  - peerID: ${PEER}\n` })
  expect(error).toMatchObject({ code: 'UNKNOWN_KEY', key: 'trust[0].peerID' })
  expect(error.message).toContain('did you mean trust[0].peerId?')
})

it('refuses a wrong value with its line', async () => {
  const lines = [
    ['registry:\n  listen: 5000', 2],
    ['tags: { validity: 10 years }', 1],
    ['tags: { validity: 0s }', 1],
    ['store:\n\n  minFree: 64M', 3],
    ['mesh:\n  listen: []', 2],
    ['mesh:\n  listen:\n    - /ip4/1.1.1.1/udp/1', 3],
    ['mesh:\n  maxPeers: 0', 2],
    ['zone: a/b', 1],
    ['freshness:\n  - repositories: "**"\n    maxAge: 1h\n    maxStale: 1m', 4],
    ['seedSet:\n  file: seeds', 2],
    ['tags:\n  immutable:\n    - repositories: "**"\n      tags: "[v]"', 4],
    ['registry:\n  ownHosts: [word]', 2],
    [`trust:\n  - peerId: ${PEER}\n    repositories: [a**b]`, 3],
    ['freshness:\n  - repositories: UPPER', 2],
    ['registry:\n  publicUrl: registry.example', 2],
    ['registry:\n  publicUrl: https://registry.example/path', 2],
    ['registry:\n  publicUrl: https://user:pw@registry.example', 2],
    ['registry:\n  mirrorListen: 5010', 2],
    ['registry:\n  tls: { certificate: a }', 2],
    ['registry:\n  tls:\n    { certificate: a, key: b, requireClientCertificate: true }', 3]
  ] as const
  for (const [text, line] of lines) {
    expect(await failure({ text }), text).toMatchObject({ code: 'INVALID_VALUE', line })
  }
})

it('refuses what is no YAML, two values of one key, and what is no mapping', async () => {
  expect(await failure({ text: 'role: seed\nzone: [a' })).toMatchObject({ code: 'SYNTAX', line: 2 })
  expect(await failure({ text: 'zone: a\nrole: seed\nzone: b\n' })).toMatchObject({ code: 'SYNTAX', line: 3 })
  expect(await failure({ text: '- seed' })).toMatchObject({ code: 'SYNTAX', line: 1 })
})

it('does not unfold a bomb of aliases', async () => {
  const levels = Array.from({ length: 8 }, (_, i) => `l${i + 1}: &l${i + 1} [${`*l${i},`.repeat(9)}]`)
  expect(await failure({ text: `l0: &l0 [x]\n${levels.join('\n')}` })).toMatchObject({ code: 'SYNTAX' })
})

it('takes an empty file, and sections without a line in them', async () => {
  for (const text of ['', '# nothing\n', 'mesh:\n  # join: [seed:5002]\nregistry:\n']) {
    expect((await loadConfig({ text })).config.mesh.join).toEqual([])
  }
})

it('says that a file is not there', async () => {
  const error = await failure({ file: '/nowhere/mesh.yaml' })
  expect(error).toMatchObject({ code: 'FILE_UNREADABLE', message: '/nowhere/mesh.yaml: there is no such file' })
})

it('refuses to open the mesh to other hosts without a secret, unless told so', async () => {
  const listen = 'listen: [/ip4/127.0.0.1/tcp/1, /ip4/0.0.0.0/tcp/1]'
  const error = await failure({ text: `mesh:\n  ${listen}` })
  expect(error).toMatchObject({ code: 'OPEN_MESH', key: 'mesh.listen[1]', line: 2 })
  expect(error.message).toContain('--secret-file')
  for (const permission of ['allowWithoutSecret: true', 'secretFile: ./secret']) {
    expect((await loadConfig({ text: `mesh:\n  ${listen}\n  ${permission}` })).config.mesh.listen).toHaveLength(2)
  }
})

it('opens the mesh to other hosts when it asks for tickets, and wants one of a node itself', async () => {
  const mesh = (rest: string) => `mesh:\n  listen: [/ip4/0.0.0.0/tcp/1]\n  ${rest}`
  for (const text of [
    mesh('admission: ticket\n  ticketFile: ./ticket'),
    mesh('admission: either\n  secretFile: ./secret'),
    `role: seed\n${mesh('admission: ticket')}`
  ]) {
    expect((await loadConfig({ text })).config.mesh.listen).toHaveLength(1)
  }
  for (const admission of ['ticket', 'either']) {
    const error = await failure({ text: mesh(`admission: ${admission}`) })
    expect(error).toMatchObject({ code: 'INVALID_VALUE', key: 'mesh.admission', line: 3 })
    expect(error.message).toContain('layermesh ticket new')
  }
})

it('warns of variables that are spelt almost like a setting, not of those of Kubernetes', async () => {
  const environment = { LAYERMESH_ZOEN: 'a', LAYERMESH_PORT: 'tcp://10.0.0.1:5000', LAYERMESH_SERVICE_HOST: 'x' }
  const { warnings } = await loadConfig({ environment, text: 'role: seed' })
  expect(warnings).toEqual(['LAYERMESH_ZOEN is no setting and is ignored; did you mean LAYERMESH_ZONE?'])
})

it('warns of a node that trusts nobody and of a registry that everybody may push to', async () => {
  expect((await loadConfig({})).warnings[0]).toContain('no seed is trusted')
  const { warnings } = await loadConfig({ text: 'role: seed\nregistry: { listen: "0.0.0.0:5000" }' })
  expect(warnings).toEqual([expect.stringContaining('whoever reaches registry.listen may push')])
})

it('reads where the registry is found, and counts its public name among its own', async () => {
  const text = `registry:
  publicUrl: https://Registry.example:443/
  mirrorListen: 127.0.0.1:5010
  ownHosts: [other.example]
  tls: { certificate: tls.crt, key: tls.key, clientCa: /etc/ca.crt }`
  const { config } = await loadConfig({ text })
  expect(config.registry).toMatchObject({
    publicUrl: 'https://registry.example',
    ownHosts: ['other.example', 'registry.example'],
    mirrorListen: { host: '127.0.0.1', port: 5010 },
    tls: { certificate: resolve('tls.crt'), key: resolve('tls.key'), clientCa: '/etc/ca.crt' }
  })
})

const ACCESS = `access:
  htpasswd: users
  oidc: [{ issuer: 'https://id.example', audience: layermesh, groupsClaim: groups, prefix: 'corp:', caFile: ca.crt }]
  groups: { ops: [alice] }
  tokenValidity: 10m
  rules:
    - repositories: team/**
      grant: [{ users: [alice], groups: [ops, 'corp:devs'], actions: [pull, create] }]
`

it('reads who may do what', async () => {
  const { config, warnings } = await loadConfig({ text: `role: seed\n${ACCESS}` })
  expect(config.access).toEqual({
    htpasswd: resolve('users'),
    oidc: [
      {
        issuer: 'https://id.example',
        audience: 'layermesh',
        usernameClaim: 'sub',
        groupsClaim: 'groups',
        prefix: 'corp:',
        caFile: resolve('ca.crt')
      }
    ],
    groups: { ops: ['alice'] },
    challenge: 'token',
    tokenValidityMs: 600_000,
    refreshTokenValidityMs: 2_592_000_000,
    rules: [
      {
        repositories: 'team/**',
        grant: [
          {
            users: ['alice'],
            groups: ['ops', 'corp:devs'],
            authenticated: false,
            anyone: false,
            actions: ['pull', 'create']
          }
        ]
      }
    ]
  })
  expect(warnings).toEqual([])
})

it('reads groups from the environment', async () => {
  const environment = { LAYERMESH_ACCESS_GROUPS: '{"ops": ["alice"]}' }
  expect((await loadConfig({ environment })).config.access?.groups).toEqual({ ops: ['alice'] })
})

it('leaves everything open without the section, and closes own repositories with an empty one', async () => {
  expect((await loadConfig({})).config).not.toHaveProperty('access')
  expect((await loadConfig({ text: 'access: {}' })).config.access?.rules).toEqual([])
})

it('refuses settings of access control that are wrong, with their line', async () => {
  const lines = [
    ['access:\n  tokenValidity: 59s', 2],
    ['access:\n  tokenValidity: 61m', 2],
    ['access:\n  refreshTokenValidity: 366d', 2],
    ['access:\n  challenge: digest', 2],
    ['access:\n  groups: { "a:b": [alice] }', 2],
    ['access:\n  clientCertificates: { name: serial }', 2],
    ['access:\n  clientCertificates: { name: dns }', 2],
    ['access:\n  oidc:\n    - { issuer: "http://id.example", audience: a }', 3],
    ['access:\n  oidc:\n    - { issuer: "https://id.example", audience: a, prefix: corp }', 3],
    [`access:\n  oidc:${'\n    - { issuer: "https://id.example", audience: a }'.repeat(2)}`, 4],
    ['access:\n  oidc:\n    - {issuer: "https://a", audience: a}\n    - {issuer: "https://b", audience: a}', 4],
    ['access:\n  rules:\n    - { repositories: a**, grant: [] }', 3],
    ['access:\n  rules:\n    - { repositories: a, grant: [{ anyone: true, actions: [push] }] }', 3],
    ['access:\n  rules:\n    - { repositories: a, grant: [{ anyone: true, actions: [] }] }', 3],
    ['access:\n  rules:\n    - { repositories: a, grant: [{ groups: [opps], actions: [pull] }] }', 3],
    ['access:\n  rules:\n    - { repositories: a, grant: [{ groups: ["corp:devs"], actions: [pull] }] }', 3]
  ] as const
  for (const [text, line] of lines) {
    expect(await failure({ text }), text).toMatchObject({ code: 'INVALID_VALUE', line })
  }
})

it('refuses to have passwords cross the network in plain text, unless told so', async () => {
  const beyond = (more = '') => ({ text: `registry:\n  listen: 0.0.0.0:5000\n${more}access: {}` })
  const error = await failure(beyond())
  expect(error).toMatchObject({ code: 'OPEN_PASSWORDS', key: 'registry.listen', line: 2 })
  expect(error.message).toContain('registry.behindTlsProxy: true')
  for (const more of ['  behindTlsProxy: true\n', '  tls: { certificate: c, key: k }\n']) {
    expect((await loadConfig(beyond(more))).config.access).toBeDefined()
  }
})

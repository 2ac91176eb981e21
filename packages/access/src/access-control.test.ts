import type { PeerCertificate } from 'node:tls'
import type { ApiKey } from '@layermesh/trust'
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { AccessControl, type AccessControlOptions } from './access-control.ts'
import { type ClientProof, REPOSITORY_ACTIONS } from './access-types.ts'
import { Authenticator, type LoginEvent } from './authenticator.ts'
import { formatBasic } from './authorization.ts'
import { TooManyLoginsError, unauthorized } from './errors.ts'
import { ApiKeys, newApiKey } from './keys/api-key.ts'
import { OidcIssuer } from './oidc/oidc-issuer.ts'
import { LoginThrottle } from './passwords/login-throttle.ts'
import { type AccessRule, AccessRules } from './rules.ts'
import { parseScopes } from './scope.ts'
import { ISSUER, makeKey, signToken } from './testing/fake-provider.ts'
import { FakeClock, fakeNode, fakeSigners, never, repository } from './testing/fakes.ts'
import { TokenAuthority } from './tokens/token-authority.ts'
import { TokenService } from './tokens/token-service.ts'

const UNAUTHORIZED = expect.objectContaining({ code: 'UNAUTHORIZED' })
const [node, seed, oidcKey] = await Promise.all([fakeNode(1), fakeNode(2), makeKey('1')])
const signal = AbortSignal.timeout(600_000)
const RULES: readonly AccessRule[] = [
  { repositories: 'public/**', grant: [{ anyone: true, actions: ['pull'] }] },
  {
    repositories: 'team/**',
    grant: [
      { users: ['alice', 'ci', 'oidc:olga'], actions: ['pull', 'create', 'update', 'delete'] },
      { groups: ['oidc:devs', 'readers'], actions: ['pull'] }
    ]
  }
]

let clock: FakeClock
/** Users, with what is both their password and its fingerprint. */
let users: Map<string, string>
let apiKeys: Map<string, ApiKey>
let rules: AccessRules
let logins: LoginEvent[]

beforeEach(() => {
  clock = new FakeClock()
  users = new Map([['alice', 'secret']])
  apiKeys = new Map()
  rules = new AccessRules(RULES, { readers: ['robert'] })
  logins = []
})

/** One node with all ways to prove who one is. */
function access(
  {
    self = node,
    hasUsers = true,
    passesOn = false
  }: { self?: typeof node; hasUsers?: boolean; passesOn?: boolean } = {},
  options: AccessControlOptions = {}
) {
  const tokens = new TokenAuthority({ ...self, signers: fakeSigners({ [seed.peerId]: '' }), clock: clock.now })
  const issuer = new OidcIssuer(
    { keys: { find: async () => oidcKey.publicKey }, clock: clock.now },
    { issuer: ISSUER, audience: 'layermesh', groupsClaim: 'groups' }
  )
  const authenticator = new Authenticator({
    users: hasUsers ? { fingerprint: async (user) => users.get(user) } : undefined,
    passwords: hasUsers ? { check: checkPassword } : undefined,
    apiKeys: new ApiKeys({ directory: { find: (id) => apiKeys.get(id) }, clock: clock.now }),
    issuers: [issuer],
    certificateName: 'commonName',
    tokens,
    passesOn,
    clock: clock.now,
    onLogin: (event) => logins.push(event)
  })
  const service = new TokenService({
    authenticator,
    tokens,
    rules: () => rules,
    throttle: new LoginThrottle({ clock: clock.now }),
    repositoryOf: repository,
    askSeed: async () => undefined,
    isSeed: true
  })
  return { control: new AccessControl({ authenticator, rules: () => rules }, options), service }
}

async function checkPassword(user: string, password: string): Promise<string> {
  if (password === 'too often') throw new TooManyLoginsError(1_000)
  if (users.get(user) !== password) throw unauthorized('wrong user name or password')
  return password
}

const proof = (authorization?: string, certificate?: PeerCertificate): ClientProof => ({
  authorization,
  certificate,
  address: '192.0.2.1'
})
const identify = (authorization?: string, by = access()) => by.control.identify(proof(authorization), signal)
const issue = async (authorization: string, scope = 'repository:team/app:pull,push', by = access()) =>
  `Bearer ${(await by.service.issueAccess(proof(authorization), parseScopes([scope]), signal)).text}`
const refresh = async (authorization: string, by = access()) =>
  `Bearer ${(await by.service.issueRefresh(proof(authorization), signal))?.text}`

const ALICE = formatBasic('alice', 'secret')
const certificate = (name: string, validTo = 'Nov 26 04:00:00 2027 GMT') =>
  ({ subject: { CN: name }, valid_to: validTo }) as unknown as PeerCertificate

function addKey(scopes: ApiKey['scopes'] = [{ repositories: 'team/*', actions: ['pull', 'create'] }]): string {
  const { text, id, hash } = newApiKey()
  const expiresAt = clock.nowMs + 3_600_000
  apiKeys.set(id, { id, hash, name: 'builds', user: 'ci', scopes, createdAt: clock.nowMs, expiresAt })
  return text
}

const oidcToken = (claims: Record<string, unknown> = {}) => {
  const now = Math.floor(clock.nowMs / 1000)
  return signToken(oidcKey, { iss: ISSUER, aud: 'layermesh', sub: 'olga', exp: now + 120, ...claims })
}

async function allowed(authorization: string | undefined, name = 'team/app'): Promise<string[]> {
  const caller = await identify(authorization)
  return REPOSITORY_ACTIONS.filter((action) => caller.may(action, repository(name)))
}

describe('a client', () => {
  it('that shows nothing is the anonymous, and has nothing to show to a seed', async () => {
    const caller = await identify()
    expect([caller.name, caller.credential]).toEqual([undefined, undefined])
    expect(await allowed(undefined, 'public/app')).toEqual(['pull'])
    expect(await allowed(undefined)).toEqual([])
  })

  it('proves who it is by a password', async () => {
    const caller = await identify(ALICE)
    expect([caller.name, caller.credential]).toEqual(['alice', ALICE])
    expect(await allowed(ALICE)).toEqual([...REPOSITORY_ACTIONS])
    await expect(identify(formatBasic('alice', 'wrong'))).rejects.toEqual(UNAUTHORIZED)
    await expect(identify(formatBasic('alice', 'secret'), access({ hasUsers: false }))).rejects.toEqual(UNAUTHORIZED)
  })

  it('proves who it is by an API key: as a password, whatever the user name, and as a Bearer token', async () => {
    const key = addKey()
    for (const header of [formatBasic('ci', key), formatBasic('anybody', key), formatBasic('', key), `Bearer ${key}`]) {
      expect((await identify(header)).name).toBe('ci')
      expect(await allowed(header)).toEqual(['pull', 'create'])
      expect(await allowed(header, 'public/app')).toEqual(['pull'])
    }
    apiKeys.clear()
    await expect(identify(`Bearer ${key}`)).rejects.toEqual(UNAUTHORIZED)
  })

  it('has by an API key no more than the rules give its user', async () => {
    const header = `Bearer ${addKey([{ repositories: '**', actions: [...REPOSITORY_ACTIONS] }])}`
    rules = new AccessRules([{ repositories: 'team/**', grant: [{ users: ['ci'], actions: ['pull'] }] }])
    expect(await allowed(header)).toEqual(['pull'])
    expect(await allowed(header, 'other')).toEqual([])
  })

  it('proves who it is by a token of an identity provider: as a password and as a Bearer token', async () => {
    const token = await oidcToken()
    for (const header of [formatBasic('whoever', token), `Bearer ${token}`]) {
      expect((await identify(header)).name).toBe('oidc:olga')
      expect(await allowed(header)).toEqual([...REPOSITORY_ACTIONS])
    }
    expect(await allowed(`Bearer ${await oidcToken({ sub: 'dan', groups: ['devs'] })}`)).toEqual(['pull'])
    await expect(identify(`Bearer ${await oidcToken({ aud: 'x' })}`)).rejects.toEqual(UNAUTHORIZED)
  })

  it('proves who it is by a certificate, unless it shows something else', async () => {
    const by = async (header?: string, shown = certificate('alice')) =>
      (await access().control.identify(proof(header, shown), signal)).name
    expect(await by()).toBe('alice')
    expect(await by(`Bearer ${addKey()}`)).toBe('ci')
    await expect(by(formatBasic('alice', 'wrong'))).rejects.toEqual(UNAUTHORIZED)
    await expect(by(undefined, certificate('alice', 'Nov 26 03:59:59 2026 GMT'))).rejects.toEqual(UNAUTHORIZED)
  })

  it('with a certificate changes nothing where a seed would have to see it, and is not sent for another token', async () => {
    const by = access({ passesOn: true })
    const scopes = parseScopes(['repository:team/app:pull,push'])
    const { text } = await by.service.issueAccess(proof(undefined, certificate('alice')), scopes, signal)
    for (const shown of [proof(undefined, certificate('alice')), proof(`Bearer ${text}`)]) {
      const caller = await by.control.identify(shown, signal)
      expect(REPOSITORY_ACTIONS.filter((action) => caller.may(action, repository('team/app')))).toEqual(['pull'])
      expect(caller.mayWithAnotherToken('create', repository('team/app'))).toBe(false)
    }
  })

  it('may do what the rules of this moment say', async () => {
    const caller = await identify(ALICE)
    rules = new AccessRules([])
    expect(caller.may('pull', repository('team/app'))).toBe(false)
  })

  it.each(['Bearer x', 'Bearer eyJ.eyJ.eyJ', 'Negotiate x', 'Basic eA==', 'Bearer lmk_x'])(
    'is refused with %s',
    async (header) => {
      await expect(identify(header)).rejects.toEqual(UNAUTHORIZED)
    }
  )
})

describe('a token', () => {
  it('narrows what its user may, and tells what another one could do', async () => {
    const header = await issue(ALICE, 'repository:team/app:pull')
    const caller = await identify(header)
    expect([caller.name, caller.credential]).toEqual(['alice', header])
    expect(await allowed(header)).toEqual(['pull'])
    expect(await allowed(header, 'team/other')).toEqual([])
    expect(await allowed(header, 'public/app')).toEqual(['pull'])
    expect(caller.mayWithAnotherToken('create', repository('team/app'))).toBe(true)
    expect(caller.mayWithAnotherToken('pull', repository('other'))).toBe(false)
    const byKey = await identify(await issue(`Bearer ${addKey()}`, 'repository:team/app:pull'))
    expect(byKey.mayWithAnotherToken('create', repository('team/app'))).toBe(true)
    expect(byKey.mayWithAnotherToken('delete', repository('team/app'))).toBe(false)
  })

  it('lists what its user may pull when it was made for that, and may be used for nothing there', async () => {
    const caller = await identify(await issue(ALICE, 'registry:catalog:*'))
    const sees = (name: string) => caller.maySee(repository(name))
    expect([sees('team/app'), sees('public/app'), sees('other')]).toEqual([true, true, false])
    expect(caller.may('pull', repository('team/app'))).toBe(false)
    const another = await identify(await issue(ALICE, 'repository:team/app:pull'))
    expect([another.maySee(repository('team/app')), another.maySee(repository('team/b'))]).toEqual([true, false])
    const key = addKey([{ repositories: 'team/a', actions: ['pull'] }])
    const byKey = await identify(await issue(`Bearer ${key}`, 'registry:catalog:*'))
    expect([byKey.maySee(repository('team/a')), byKey.maySee(repository('team/app'))]).toEqual([true, false])
  })

  it('never widens what the rules of this moment give', async () => {
    const header = await issue(ALICE)
    rules = new AccessRules([{ repositories: 'team/**', grant: [{ users: ['alice'], actions: ['pull'] }] }])
    expect(await allowed(header)).toEqual(['pull'])
  })

  it('means nothing once its user is gone, or has another password', async () => {
    const header = await issue(ALICE)
    await identify(header)
    users.set('alice', 'another')
    await expect(identify(header)).rejects.toEqual(UNAUTHORIZED)
    users.delete('alice')
    await expect(identify(header)).rejects.toEqual(UNAUTHORIZED)
  })

  it('means nothing once its API key was revoked or has expired, and keeps to its scopes', async () => {
    const key = addKey()
    const header = await issue(`Bearer ${key}`, 'repository:team/app:*')
    expect(await allowed(header)).toEqual(['pull', 'create'])
    const [id, known] = [...apiKeys][0] as [string, ApiKey]
    apiKeys.set(id, { ...known, scopes: [{ repositories: 'team/*', actions: ['pull'] }] })
    expect(await allowed(header)).toEqual(['pull'])
    apiKeys.set(id, { ...known, user: 'somebody' })
    await expect(identify(header)).rejects.toEqual(UNAUTHORIZED)
    apiKeys.clear()
    await expect(identify(header)).rejects.toEqual(UNAUTHORIZED)
  })

  it('made for one of an identity provider keeps its groups and ends with it', async () => {
    const token = await oidcToken({ sub: 'dan', groups: ['devs'] })
    const header = await issue(`Bearer ${token}`, 'repository:team/app:pull')
    expect(await allowed(header)).toEqual(['pull'])
    clock.advance(179_000)
    expect(await allowed(header)).toEqual(['pull'])
    clock.advance(1_000)
    await expect(identify(header)).rejects.toEqual(UNAUTHORIZED)
  })

  it('made for a certificate stands for its name', async () => {
    const by = access()
    const scopes = parseScopes(['repository:team/app:pull'])
    const { text } = await by.service.issueAccess(proof(undefined, certificate('alice')), scopes, signal)
    expect(await allowed(`Bearer ${text}`)).toEqual(['pull'])
  })

  it('of a seed holds at a node that has no users of its own, and at one that has them only while they stay', async () => {
    const header = await issue(ALICE, undefined, access({ self: seed }))
    expect((await identify(header, access({ hasUsers: false }))).name).toBe('alice')
    expect((await identify(header)).name).toBe('alice')
    users.clear()
    await expect(identify(header)).rejects.toEqual(UNAUTHORIZED)
  })

  it('of the anonymous is one', async () => {
    const by = access()
    const { text } = await by.service.issueAccess(proof(), parseScopes(['repository:public/app:pull']), signal)
    const caller = await identify(`Bearer ${text}`)
    expect([caller.name, caller.credential]).toEqual([undefined, undefined])
    expect(await allowed(`Bearer ${text}`, 'public/app')).toEqual(['pull'])
  })

  it('is not to be had for another token, which would widen it and never end', async () => {
    const header = await issue(ALICE, 'repository:team/app:pull')
    await expect(issue(header)).rejects.toEqual(UNAUTHORIZED)
    await expect(refresh(header)).rejects.toEqual(UNAUTHORIZED)
  })
})

describe('a refresh token', () => {
  it('gives access tokens for a month, and is worth nothing at the registry', async () => {
    const header = await refresh(ALICE)
    clock.advance(29 * 86_400_000)
    expect(await allowed(await issue(header))).toEqual(['pull', 'create', 'update'])
    await expect(identify(header)).rejects.toEqual(UNAUTHORIZED)
    clock.advance(2 * 86_400_000)
    await expect(issue(header)).rejects.toEqual(UNAUTHORIZED)
  })

  it('gives none once the user is gone, or has another password', async () => {
    const header = await refresh(ALICE)
    users.set('alice', 'another')
    await expect(issue(header)).rejects.toEqual(UNAUTHORIZED)
  })

  it('gives none once the API key was revoked', async () => {
    const header = await refresh(`Bearer ${addKey()}`)
    await issue(header)
    apiKeys.clear()
    await expect(issue(header)).rejects.toEqual(UNAUTHORIZED)
  })

  it('gives none at a node that can not ask whether its user is still there', async () => {
    const header = await refresh(ALICE, access({ self: seed }))
    await expect(issue(header, undefined, access({ hasUsers: false }))).rejects.toEqual(UNAUTHORIZED)
  })
})

describe('log-ins', () => {
  it('are told of: who got a token, who failed at what, who has to wait', async () => {
    await issue(ALICE)
    await identify(formatBasic('alice', 'wrong')).catch(() => {})
    await identify(formatBasic('bob', 'too often')).catch(() => {})
    await identify('Bearer lmk_x').catch(() => {})
    await issue(`Bearer ${addKey()}`)
    const address = '192.0.2.1'
    expect(logins).toEqual([
      { result: 'success', source: 'htpasswd', name: 'alice', address },
      { result: 'failure', source: 'htpasswd', name: 'alice', address },
      { result: 'throttled', source: 'htpasswd', name: 'bob', address },
      { result: 'failure', source: 'apiKey', name: undefined, address },
      { result: 'success', source: 'apiKey', name: 'ci', address }
    ])
  })

  it('of the anonymous and with tokens of the mesh are none', async () => {
    const header = await issue(ALICE)
    logins = []
    await identify()
    await identify(header)
    expect(logins).toEqual([])
  })
})

describe('a challenge', () => {
  const challenge = (options: AccessControlOptions, ...args: Parameters<AccessControl['challenge']>) =>
    new AccessControl({ authenticator: { identify: never }, rules: () => rules }, options).challenge(...args)
  const here = { scheme: 'http', host: 'registry.example:5000' } as const

  it('leads to the token endpoint of the registry that the client asked', () => {
    expect(challenge({}, here, undefined)).toBe(
      'Bearer realm="http://registry.example:5000/auth/token",service="layermesh"'
    )
    const scope = { repository: repository('team/app'), actions: ['pull', 'create'] as const }
    expect(challenge({}, { scheme: 'https', host: '[::1]:5000' }, scope, 'insufficient_scope')).toBe(
      'Bearer realm="https://[::1]:5000/auth/token",service="layermesh",scope="repository:team/app:pull,push",error="insufficient_scope"'
    )
  })

  it('leads to the public address where there is one', () => {
    expect(challenge({ publicUrl: 'https://hub.example' }, here, undefined)).toContain(
      '"https://hub.example/auth/token"'
    )
  })

  it('asks for a password where the configuration says so', () => {
    expect(challenge({ challenge: 'basic' }, here, undefined)).toBe('Basic realm="layermesh", charset="UTF-8"')
  })

  it.each([
    undefined,
    '',
    'a b',
    'evil.example/x',
    'evil.example"',
    'a@evil.example',
    '[::g]',
    'a:123456',
    'a\r\nX: y',
    '-a',
    'ä'
  ])('leads nowhere when the client names the host %j', (host) => {
    expect(challenge({}, { scheme: 'https', host }, undefined)).toMatch(/^Basic /)
  })

  it('has one realm on the host that was asked, whatever is asked', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.domain(),
          fc.ipV6().map((ip) => `[${ip}]`)
        ),
        (host) => {
          const value = challenge({}, { scheme: 'https', host }, undefined)
          if (value.startsWith('Basic ')) return
          const [, realm = ''] = /^Bearer realm="([^"]+)",service="layermesh"$/.exec(value) ?? []
          const url = new URL(realm)
          expect([url.protocol, url.pathname, url.username, url.search]).toEqual(['https:', '/auth/token', '', ''])
        }
      )
    )
  })
})

import { OciError } from '@layermesh/oci'
import { beforeEach, describe, expect, it } from 'vitest'
import { ANONYMOUS, type ClientProof, type Identity } from '../access-types.ts'
import { formatBasic } from '../authorization.ts'
import { unauthorized } from '../errors.ts'
import { LoginThrottle } from '../passwords/login-throttle.ts'
import { AccessRules } from '../rules.ts'
import { parseScopes } from '../scope.ts'
import { FakeClock, fakeNode, fakeSigners, repository } from '../testing/fakes.ts'
import { TokenAuthority } from './token-authority.ts'
import { type AskSeed, OFFLINE_ACCESS, type SeedRequest, TokenService } from './token-service.ts'

const node = await fakeNode(1)
const seed = await fakeNode(2)
const BASIC = formatBasic('alice', 'secret')
const signal = AbortSignal.timeout(60_000)

let clock: FakeClock
let identity: Identity

beforeEach(() => {
  clock = new FakeClock()
  identity = {
    name: 'alice',
    groups: [],
    source: { kind: 'htpasswd', id: 'f' },
    expiresAtMs: undefined
  }
})

const rules = new AccessRules([
  { repositories: 'public/**', grant: [{ anyone: true, actions: ['pull'] }] },
  { repositories: 'team/**', grant: [{ users: ['alice'], groups: ['corp:devs'], actions: ['pull', 'create'] }] }
])

const proof = (authorization?: string): ClientProof => ({
  authorization,
  certificate: undefined,
  address: '192.0.2.1'
})

function service(askSeed?: AskSeed, self = node): TokenService {
  const tokens = new TokenAuthority({ ...self, signers: fakeSigners(), clock: clock.now })
  return new TokenService({
    authenticator: {
      identifyForToken: async ({ authorization }) => (authorization === undefined ? ANONYMOUS : identity)
    },
    tokens,
    rules: () => rules,
    throttle: new LoginThrottle({ clock: clock.now }),
    repositoryOf: (name) => (name.startsWith('-') ? undefined : repository(name.replace(/^own\.example\//, ''))),
    askSeed: askSeed ?? (async () => undefined),
    isSeed: askSeed === undefined
  })
}

const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())

async function access(scopes: string, authorization?: string, by = service()) {
  return claimsOf((await by.issueAccess(proof(authorization), parseScopes([scopes]), signal)).text)
}

describe('an access token', () => {
  it('grants what is both asked for and allowed, never an error for the rest', async () => {
    const scopes =
      'repository:team/app:pull,push,delete repository:other:pull repository:-:pull registry:other:* plugin:a:pull'
    expect((await access(scopes, BASIC)).access).toEqual([
      { type: 'repository', name: 'team/app', actions: ['pull', 'push'] }
    ])
  })

  it('may be made to list repositories, of which each shows only those that may be pulled', async () => {
    expect((await access('registry:catalog:*', BASIC)).access).toEqual([
      { type: 'registry', name: 'catalog', actions: ['*'] }
    ])
  })

  it('names a repository as the mesh knows it, whatever the client calls it', async () => {
    expect((await access('repository:own.example/team/app:pull', BASIC)).access[0].name).toBe('team/app')
    expect((await access('repository:docker.io/nginx:pull', BASIC)).access[0].name).toBe('docker.io/library/nginx')
  })

  it('may be of the anonymous, for what anyone may', async () => {
    const claims = await access('repository:public/app:pull,push repository:team/app:pull')
    expect(claims).not.toHaveProperty('sub')
    expect(claims.access).toEqual([{ type: 'repository', name: 'public/app', actions: ['pull'] }])
  })

  it('tells of the groups that any rule names, and of no others', async () => {
    identity = { ...identity, groups: ['corp:devs', ...Array.from({ length: 400 }, (_, i) => `corp:${i}`)] }
    expect((await access('', BASIC)).groups).toEqual(['corp:devs'])
  })

  it('grants no more than the credential is narrowed to', async () => {
    identity = { ...identity, limit: { allows: (action) => action === 'pull' } }
    expect((await access('repository:team/app:pull,push', BASIC)).access[0].actions).toEqual(['pull'])
  })
})

describe('a refresh token', () => {
  it.each(['htpasswd', 'apiKey'] as const)('is given for a source that can be asked again: %s', async (kind) => {
    identity = { ...identity, source: { kind, id: 'x' } }
    const token = await service().issueRefresh(proof(BASIC), signal)
    expect(claimsOf(token?.text ?? '')).toMatchObject({ sub: 'alice', src: { kind, id: 'x' }, access: [] })
  })

  it.each(['oidc', 'certificate', 'anonymous'] as const)('is not given for one that can not: %s', async (kind) => {
    identity = { ...identity, source: { kind, id: 'x' } }
    expect(await service().issueRefresh(proof(BASIC), signal)).toBeUndefined()
  })
})

describe('a node that is no seed', () => {
  const askAnother: AskSeed = (request, abort) => service(undefined, seed).answer(request, abort)

  it('gives what the seed gives', async () => {
    const claims = await access('repository:team/app:pull,push', BASIC, service(askAnother))
    expect(claims).toMatchObject({ iss: seed.peerId, access: [{ name: 'team/app', actions: ['pull', 'push'] }] })
    const refresh = await service(askAnother).issueRefresh(proof(BASIC), signal)
    expect(claimsOf(refresh?.text ?? '').iss).toBe(seed.peerId)
  })

  it('tells the seed what the client showed, what it wants and where it is', async () => {
    const asked: SeedRequest[] = []
    const by = service(async (request) => void asked.push(request))
    await access('repository:team/app:pull', BASIC, by)
    await by.issueRefresh(proof(BASIC), signal)
    expect(asked).toEqual([
      { authorization: BASIC, scopes: ['repository:team/app:pull'], address: '192.0.2.1' },
      { authorization: BASIC, scopes: [OFFLINE_ACCESS], address: '192.0.2.1' }
    ])
  })

  it('does it itself for what holds at itself only, when no seed answers or none gives tokens', async () => {
    const silent = service(async () => undefined)
    expect((await access('repository:team/app:pull', BASIC, silent)).iss).toBe(node.peerId)
    expect(await silent.issueRefresh(proof(BASIC), signal)).toBeUndefined()
    const without = service(async () => {
      throw new OciError('UNSUPPORTED', 'no access control here')
    })
    expect((await access('repository:team/app:pull', BASIC, without)).iss).toBe(node.peerId)
  })

  it('gives a client no token that the seed has refused', async () => {
    const refusing = service(async () => {
      throw unauthorized('wrong user name or password')
    })
    await expect(access('repository:team/app:pull', BASIC, refusing)).rejects.toMatchObject({ code: 'UNAUTHORIZED' })
  })

  it('asks no seed for the anonymous', async () => {
    const by = service(async () => {
      throw new Error('must not be asked')
    })
    expect((await access('repository:public/app:pull', undefined, by)).iss).toBe(node.peerId)
  })

  it('counts the passwords that the seed found wrong, and asks it no more', async () => {
    let asked = 0
    const refusing = service(async () => {
      asked++
      throw unauthorized('wrong user name or password')
    })
    for (let i = 0; i < 6; i++) {
      await expect(access('', formatBasic('alice', `${i}`), refusing)).rejects.toMatchObject({ code: 'UNAUTHORIZED' })
    }
    await expect(access('', BASIC, refusing)).rejects.toMatchObject({ code: 'TOOMANYREQUESTS' })
    expect(asked).toBe(6)
  })

  it('takes nothing from the seed that is no token', async () => {
    const broken = service(async () => 'no token')
    await expect(access('', BASIC, broken)).rejects.toMatchObject({ code: 'UNAUTHORIZED' })
  })
})

it('answers another node that there is no refresh token for a source that can not be asked again', async () => {
  identity = { ...identity, source: { kind: 'oidc', id: 'x' } }
  const request = { authorization: BASIC, scopes: [OFFLINE_ACCESS], address: 'p/192.0.2.1' }
  await expect(service().answer(request, signal)).rejects.toMatchObject({ code: 'UNSUPPORTED' })
})

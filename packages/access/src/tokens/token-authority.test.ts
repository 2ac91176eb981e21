import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { exportJWK } from 'jose'
import { beforeEach, describe, expect, it } from 'vitest'
import { ANONYMOUS, type Identity, REPOSITORY_ACTIONS } from '../access-types.ts'
import { parseScopes } from '../scope.ts'
import { FakeClock, fakeNode, fakeSigners, repository } from '../testing/fakes.ts'
import { TOKEN_TYPES, TokenAuthority, type TokenAuthorityOptions, type TokenSigners } from './token-authority.ts'

const UNAUTHORIZED = expect.objectContaining({ code: 'UNAUTHORIZED', message: 'the token does not hold' })
const [self, seed, stranger] = await Promise.all([1, 2, 3].map(fakeNode))
if (self === undefined || seed === undefined || stranger === undefined) throw new Error('there are no keys')

const ALICE: Identity = {
  name: 'alice',
  groups: ['corp:devs'],
  source: { kind: 'htpasswd', id: 'fingerprint' },
  expiresAtMs: undefined
}

let clock: FakeClock
let signers: TokenSigners

beforeEach(() => {
  clock = new FakeClock()
  signers = fakeSigners({ [seed.peerId]: '' })
})

function authority(node = self, options: TokenAuthorityOptions = {}): TokenAuthority {
  return new TokenAuthority({ ...(node as typeof self), signers, clock: clock.now } as never, options)
}

const issue = async (scope = 'repository:team/app:pull,push', by = self) =>
  (await authority(by).issue('access', ALICE, parseScopes([scope]))).text

const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const decode = (part: string | undefined) => JSON.parse(Buffer.from(part ?? '', 'base64url').toString())

/** Changes header and claims of a token and signs it again, with the key of its issuer unless another is given. */
async function forge(
  change: { readonly header?: Record<string, unknown>; readonly claims?: Record<string, unknown> },
  key: KeyObject = (self as NonNullable<typeof self>).signingKey
): Promise<string> {
  const [header, claims] = (await issue()).split('.', 2).map(decode)
  const signed = `${base64({ ...header, ...change.header })}.${base64({ ...claims, ...change.claims })}`
  return `${signed}.${sign(null, Buffer.from(signed), key).toString('base64url')}`
}

const refused = async (token: string) => await expect(authority().verify('access', token)).rejects.toEqual(UNAUTHORIZED)

describe('an access token', () => {
  it('says who the client is and how that was found out', async () => {
    expect(await authority().verify('access', await issue())).toMatchObject({
      name: 'alice',
      groups: ['corp:devs'],
      source: { kind: 'htpasswd', id: 'fingerprint' },
      expiresAtMs: clock.nowMs + 300_000
    })
  })

  it('allows what was asked for, and nothing else', async () => {
    const { coverage } = await authority().verify('access', await issue('repository:team/app:pull,push'))
    const allowed = (name: string) => REPOSITORY_ACTIONS.filter((act) => coverage.allows(act, repository(name)))
    expect(allowed('team/app')).toEqual(['pull', 'create', 'update'])
    expect(allowed('team/app2')).toEqual([])
    expect(allowed('docker.io/library/nginx')).toEqual([])
  })

  it('adds up several entries of one repository, and knows the one for the list of all', async () => {
    const scopes = parseScopes(['repository:a:pull', 'repository:a:delete', 'registry:catalog:*'])
    const { text } = await authority().issue('access', ALICE, scopes)
    const { coverage } = await authority().verify('access', text)
    expect(REPOSITORY_ACTIONS.filter((act) => coverage.allows(act, repository('a')))).toEqual(['pull', 'delete'])
    expect(coverage.allows('pull', repository('catalog'))).toBe(false)
    expect(coverage.lists).toBe(true)
  })

  it('of nobody is one of the anonymous', async () => {
    const { text } = await authority().issue('access', ANONYMOUS, [])
    expect(await authority().verify('access', text)).toMatchObject({ name: undefined, source: { kind: 'anonymous' } })
  })

  it('ends with the credential that it was given for', async () => {
    const identity = { ...ALICE, expiresAtMs: clock.nowMs + 90_000 }
    const { issuedAt, expiresAt } = await authority().issue('access', identity, [])
    expect(expiresAt - issuedAt).toBe(90)
    expect(issuedAt * 1000).toBe(clock.nowMs)
  })

  it('holds as long as the configuration says, and a minute more for clocks that differ', async () => {
    const { text } = await authority(self, { accessValidityMs: 60_000 }).issue('access', ALICE, [])
    clock.advance(119_000)
    await authority().verify('access', text)
    clock.advance(1_000)
    await refused(text)
  })

  it('holds a minute before it was issued, for clocks that differ, and not earlier', async () => {
    const text = await issue()
    clock.advance(-60_000)
    await authority().verify('access', text)
    clock.advance(-1_000)
    await refused(text)
  })

  it('of a trusted signer holds here: to change what it may sign for, and to read', async () => {
    signers = fakeSigners({ [seed.peerId]: 'team/' })
    const scopes =
      'repository:team/app:pull,push repository:other:pull,push repository:docker.io/library/nginx:pull,push'
    const { coverage } = await authority().verify('access', await issue(scopes, seed))
    const allowed = (name: string) => REPOSITORY_ACTIONS.filter((act) => coverage.allows(act, repository(name)))
    expect(allowed('team/app')).toEqual(['pull', 'create', 'update'])
    expect(allowed('other')).toEqual(['pull'])
    expect(allowed('docker.io/library/nginx')).toEqual(['pull'])
  })

  it('of a signer that is not trusted any more is refused at once', async () => {
    const text = await issue(undefined, seed)
    await authority().verify('access', text)
    signers = fakeSigners()
    await refused(text)
  })
})

describe('refused is a token', () => {
  it('for what was changed in it alone: one that was signed again without a change holds', async () => {
    expect(await authority().verify('access', await forge({}))).toMatchObject({ name: 'alice' })
  })

  it('of a stranger, also under the name of somebody trusted', async () => {
    await refused(await issue(undefined, stranger))
    await refused(await forge({ claims: { iss: self.peerId } }, stranger.signingKey))
    await refused(await forge({ claims: { iss: seed.peerId } }, self.signingKey))
    await refused(await forge({ claims: { iss: stranger.peerId } }, stranger.signingKey))
    await refused(await forge({ claims: { iss: 'toString' } }, stranger.signingKey))
  })

  it('with another algorithm: none, HMAC with the public key, another curve', async () => {
    for (const alg of ['none', 'None', '']) {
      const token = await forge({ header: { alg } })
      await refused(token)
      await refused(`${token.split('.').slice(0, 2).join('.')}.`)
    }
    const publicKey = Buffer.from((await exportJWK(self.signingKey)).x ?? '', 'base64url')
    const [, claims] = (await issue()).split('.')
    const signed = `${base64({ alg: 'HS256', typ: TOKEN_TYPES.access })}.${claims}`
    await refused(`${signed}.${createHmac('sha256', publicKey).update(signed).digest('base64url')}`)
    for (const alg of ['ES256', 'RS256', 'Ed25519']) await refused(await forge({ header: { alg } }))
  })

  it('whose header names a key: jwk, jku, x5u, x5c, kid', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    const jwk = await exportJWK(publicKey)
    const more = [
      { jwk },
      { jku: 'https://evil.example' },
      { x5u: 'https://evil.example' },
      { x5c: ['AA=='] },
      { kid: '1' }
    ]
    for (const extra of more) {
      await refused(await forge({ header: extra }, privateKey))
      await refused(await forge({ header: extra }))
    }
  })

  it('that must be understood and is not', async () => {
    await refused(await forge({ header: { crit: ['x'], x: 1 } }))
  })

  it('of the other kind', async () => {
    const { text } = await authority().issue('refresh', ALICE, [])
    await refused(text)
    await expect(authority().verify('refresh', await issue())).rejects.toEqual(UNAUTHORIZED)
    expect(await authority().verify('refresh', text)).toMatchObject({ name: 'alice' })
  })

  it('for another service', async () => {
    for (const aud of ['other', ['layermesh'], ['layermesh', 'other'], undefined, '']) {
      await refused(await forge({ claims: { aud: aud } }))
    }
  })

  it.each(['iss', 'aud', 'jti', 'iat', 'nbf', 'exp', 'src', 'groups', 'access', 'sub'])('without %s', async (claim) => {
    await refused(await forge({ claims: { [claim]: undefined } }))
  })

  it.each([
    ['exp', '2999-01-01'],
    ['exp', -1],
    ['nbf', null],
    ['sub', ''],
    ['sub', 7],
    ['src', { kind: 'root', id: '' }],
    ['src', { kind: 'anonymous', id: '' }],
    ['groups', 'ops'],
    ['access', [{ type: 'repository', name: 'a', actions: '*' }]],
    ['access', {}],
    ['admin', true]
  ])('whose %s is %j', async (claim, value) => {
    await refused(await forge({ claims: { [claim]: value } }))
  })

  it('that was widened without the key', async () => {
    const [header, claims, signature] = (await issue('repository:team/app:pull')).split('.')
    const wide = { ...decode(claims), access: [{ type: 'repository', name: 'team/app', actions: ['*'] }] }
    await refused(`${header}.${base64(wide)}.${signature}`)
  })

  it('that is none', async () => {
    for (const text of ['', '.', '..', 'a.b.c', 'eyJ.eyJ.eyJ', `${await issue()}.x`, 'a'.repeat(20_000), '\0']) {
      await refused(text)
    }
  })
})

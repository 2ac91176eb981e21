import { createHmac } from 'node:crypto'
import { exportJWK, exportSPKI } from 'jose'
import { beforeEach, describe, expect, it } from 'vitest'
import { type FakeKey, FakeProvider, ISSUER, makeKey, signToken } from '../testing/fake-provider.ts'
import { FakeClock, FakeLog } from '../testing/fakes.ts'
import { IssuerKeys } from './issuer-keys.ts'
import { OidcIssuer, type OidcSettings } from './oidc-issuer.ts'

const UNAUTHORIZED = expect.objectContaining({ code: 'UNAUTHORIZED' })
const ALGORITHMS = ['EdDSA', 'ES256', 'ES384', 'RS256', 'PS256']
const keys = new Map(await Promise.all(ALGORITHMS.map(async (alg) => [alg, await makeKey(alg, alg)] as const)))
const key = keys.get('ES256') as FakeKey
const rsa = keys.get('RS256') as FakeKey
const stranger = await makeKey('ES256')

let clock: FakeClock
let provider: FakeProvider

beforeEach(() => {
  clock = new FakeClock()
  provider = new FakeProvider()
  provider.keys = [...keys.values()]
})

function issuer(settings: Partial<OidcSettings> = {}): OidcIssuer {
  const found = new IssuerKeys(ISSUER, { fetchJson: provider.fetchJson, clock: clock.now, log: new FakeLog() })
  return new OidcIssuer({ keys: found, clock: clock.now }, { issuer: ISSUER, audience: 'layermesh', ...settings })
}

const seconds = () => Math.floor(clock.nowMs / 1000)
const claims = (more: Record<string, unknown> = {}) => ({
  iss: ISSUER,
  aud: 'layermesh',
  sub: 'alice',
  iat: seconds(),
  exp: seconds() + 300,
  ...more
})
const without = (name: string) => Object.fromEntries(Object.entries(claims()).filter(([claim]) => claim !== name))

describe('a token of an identity provider', () => {
  it.each(ALGORITHMS)('signed with %s names its user, behind the prefix', async (alg) => {
    const token = await signToken(keys.get(alg) as FakeKey, claims())
    expect(await issuer({ prefix: 'corp:' }).identify(token)).toEqual({
      name: 'corp:alice',
      groups: [],
      source: { kind: 'oidc', id: ISSUER },
      expiresAtMs: (seconds() + 300) * 1000
    })
  })

  it('tells groups, behind the prefix, where the configuration says so', async () => {
    const token = await signToken(key, claims({ groups: ['devs', 7, '', 'ops\n', 'admins'], role: 'one' }))
    expect((await issuer({ groupsClaim: 'groups' }).identify(token)).groups).toEqual(['oidc:devs', 'oidc:admins'])
    expect((await issuer({ groupsClaim: 'role' }).identify(token)).groups).toEqual(['oidc:one'])
    expect((await issuer({ groupsClaim: 'none' }).identify(token)).groups).toEqual([])
    expect((await issuer().identify(token)).groups).toEqual([])
  })

  it('may be an access token, and may be meant for others too', async () => {
    const token = await signToken(key, claims({ aud: ['another', 'layermesh'] }), { typ: 'at+jwt' })
    expect((await issuer().identify(token)).name).toBe('oidc:alice')
  })

  it('names its user by the claim that the configuration says', async () => {
    const named = async (claim: string, more: Record<string, unknown>) =>
      (await issuer({ usernameClaim: claim }).identify(await signToken(key, claims(more)))).name
    expect(await named('preferred_username', { preferred_username: 'al' })).toBe('oidc:al')
    expect(await named('email', { email: 'a@b.example', email_verified: true })).toBe('oidc:a@b.example')
    for (const [claim, more] of [
      ['email', { email: 'a@b.example', email_verified: false }],
      ['preferred_username', {}],
      ['preferred_username', { preferred_username: 7 }],
      ['preferred_username', { preferred_username: '' }],
      ['preferred_username', { preferred_username: 'a\nb' }],
      ['preferred_username', { preferred_username: 'a'.repeat(256) }],
      ['constructor', {}]
    ] as const) {
      await expect(named(claim, more)).rejects.toEqual(UNAUTHORIZED)
    }
  })

  it('holds a minute longer and earlier than it says, for clocks that differ', async () => {
    const late = await signToken(key, claims({ exp: seconds() - 59 }))
    expect((await issuer().identify(late)).name).toBe('oidc:alice')
    const early = await signToken(key, claims({ nbf: seconds() + 59 }))
    expect((await issuer().identify(early)).name).toBe('oidc:alice')
  })
})

describe('refused is a token', () => {
  const refused = async (token: string | Promise<string>) =>
    await expect(issuer().identify(await token)).rejects.toEqual(UNAUTHORIZED)

  it('that has expired, or is not valid yet', async () => {
    await refused(signToken(key, claims({ exp: seconds() - 61 })))
    await refused(signToken(key, claims({ nbf: seconds() + 61 })))
  })

  it('that lacks its issuer, audience, end or user', async () => {
    for (const claim of ['iss', 'aud', 'exp', 'sub']) await refused(signToken(key, without(claim)))
  })

  it('of another issuer, or for another audience', async () => {
    await refused(signToken(key, claims({ iss: 'https://evil.example' })))
    await refused(signToken(key, claims({ iss: `${ISSUER}/` })))
    await refused(signToken(key, claims({ aud: 'another' })))
    await refused(signToken(key, claims({ aud: 'layermesh2' })))
  })

  it('signed by a stranger with the id of a known key', async () => {
    await refused(signToken(stranger, claims()))
  })

  it('that brings its own key along', async () => {
    const jwk = await exportJWK(stranger.publicKey)
    await refused(signToken(stranger, claims(), { jwk }))
    await refused(signToken(stranger, claims(), { jwk, kid: 'none' }))
    await refused(signToken(stranger, claims(), { jku: 'https://evil.example/keys', kid: 'none' }))
    await refused(signToken(stranger, claims(), { x5u: 'https://evil.example/keys', kid: 'none' }))
    expect(provider.asked.filter((url) => url.includes('evil'))).toEqual([])
  })

  it('that is not signed', async () => {
    for (const alg of ['none', 'None', 'NONE']) {
      const [header, payload] = [{ alg }, claims()].map((part) =>
        Buffer.from(JSON.stringify(part)).toString('base64url')
      )
      await refused(`${header}.${payload}.`)
      await refused(`${header}.${payload}.AA`)
    }
  })

  it('that takes a public key for the secret of an HMAC', async () => {
    const publicKeys = [await exportSPKI(rsa.publicKey), JSON.stringify(await exportJWK(rsa.publicKey))]
    for (const secret of publicKeys) {
      const head = { alg: 'HS256', kid: rsa.kid }
      const signed = [head, claims()].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
      await refused(`${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`)
    }
  })

  it('signed with an algorithm that is not among the five', async () => {
    const es512 = await makeKey('ES512', 'ES512')
    provider.keys = [es512]
    await refused(signToken(es512, claims()))
  })

  it('that was changed', async () => {
    const [header = '', payload = '', signature = ''] = (await signToken(key, claims())).split('.')
    const changed = Buffer.from(JSON.stringify(claims({ sub: 'root' }))).toString('base64url')
    await refused(`${header}.${changed}.${signature}`)
    await refused(`${header}.${payload}.${signature.slice(2)}`)
    await refused(`${header}.${payload}`)
  })

  it('of a log-out', async () => {
    await refused(signToken(key, claims(), { typ: 'logout+jwt' }))
  })
})

it('says that the provider can not be reached, rather than that the token is wrong', async () => {
  provider.isDown = true
  await expect(issuer().identify(await signToken(key, claims()))).rejects.toMatchObject({ code: 'UNAVAILABLE' })
})

it.each([
  'http://id.example',
  'id.example',
  'https://id.example?x',
  'https://id.example#x',
  'https://user:password@id.example',
  'ftp://id.example',
  ''
])('is refused as an issuer: %j', (url) => {
  expect(() => issuer({ issuer: url })).toThrow(expect.objectContaining({ code: 'RULES_INVALID' }))
})

it.each(['', 'corp', ':', 'a:b:', 'corp: '])('is refused as a prefix: %j', (prefix) => {
  expect(() => issuer({ prefix })).toThrow(expect.objectContaining({ code: 'RULES_INVALID' }))
})

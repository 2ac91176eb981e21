import { jwtVerify } from 'jose'
import { beforeEach, describe, expect, it } from 'vitest'
import { FakeProvider, ISSUER, makeKey, signToken } from '../testing/fake-provider.ts'
import { FakeClock, FakeLog } from '../testing/fakes.ts'
import { IssuerKeys } from './issuer-keys.ts'

const MINUTE_MS = 60_000
const UNAVAILABLE = expect.objectContaining({ code: 'UNAVAILABLE' })
const [first, second] = await Promise.all([makeKey('1'), makeKey('2')])

let clock: FakeClock
let provider: FakeProvider
let keys: IssuerKeys

beforeEach(() => {
  clock = new FakeClock()
  provider = new FakeProvider()
  provider.keys = [first]
  const log = new FakeLog()
  keys = new IssuerKeys(ISSUER, { fetchJson: provider.fetchJson, clock: clock.now, log })
})

async function verify(key = first): Promise<unknown> {
  return (await jwtVerify(await signToken(key, { sub: 'a' }), keys.find)).payload.sub
}

describe('the keys of an issuer', () => {
  it('are found by discovery, once for many tokens', async () => {
    expect(await Promise.all(Array.from({ length: 10 }, () => verify()))).toEqual(Array(10).fill('a'))
    expect(provider.asked).toEqual([`${ISSUER}/.well-known/openid-configuration`, `${ISSUER}/keys`])
  })

  it('are fetched anew when they are old', async () => {
    await verify()
    clock.advance(10 * MINUTE_MS)
    await verify()
    expect(provider.asked).toHaveLength(2)
    clock.advance(1)
    await verify()
    expect(provider.asked).toHaveLength(4)
  })

  it('are fetched anew when a token names another one, so that the issuer can change its keys', async () => {
    await verify()
    provider.keys = [second]
    clock.advance(MINUTE_MS)
    expect(await verify(second)).toBe('a')
    await expect(verify(first)).rejects.toMatchObject({ code: 'ERR_JWKS_NO_MATCHING_KEY' })
  })

  it('are not fetched over and over for tokens that name keys that nobody has', async () => {
    await verify()
    clock.advance(MINUTE_MS)
    for (let i = 0; i < 50; i++) await expect(verify(second)).rejects.toThrow()
    expect(provider.asked).toHaveLength(4)
  })

  it('are not fetched over and over when the issuer is down', async () => {
    provider.isDown = true
    for (let i = 0; i < 50; i++) await expect(verify()).rejects.toEqual(UNAVAILABLE)
    expect(provider.asked).toHaveLength(1)
    provider.isDown = false
    clock.advance(30_000)
    expect(await verify()).toBe('a')
  })

  it('go on for a day when the issuer is down, and no longer', async () => {
    await verify()
    provider.isDown = true
    clock.advance(24 * 60 * MINUTE_MS)
    expect(await verify()).toBe('a')
    clock.advance(1)
    await expect(verify()).rejects.toEqual(UNAVAILABLE)
  })

  it.each([
    ['another issuer', { issuer: 'https://evil.example', jwks_uri: `${ISSUER}/keys` }],
    ['keys without TLS', { issuer: ISSUER, jwks_uri: 'http://id.example/realm/keys' }],
    ['keys in a file', { issuer: ISSUER, jwks_uri: 'file:///etc/passwd' }],
    ['no keys', { issuer: ISSUER }]
  ])('are not taken from a document that names %s', async (_, discovery) => {
    provider.discovery = discovery
    await expect(verify()).rejects.toEqual(UNAVAILABLE)
    expect(provider.asked).toHaveLength(1)
  })

  it('may be at another host, if TLS vouches for it', async () => {
    provider.discovery = { issuer: ISSUER, jwks_uri: 'https://keys.example/realm' }
    expect(await verify()).toBe('a')
  })

  it('are a bounded number', async () => {
    provider.keys = Array.from({ length: 101 }, () => first)
    await expect(verify()).rejects.toEqual(UNAVAILABLE)
  })
})

import { expect, it } from 'vitest'
import { password } from '../testing/fake-credentials.ts'
import { Fingerprint } from './fingerprint.ts'
import { TokenCache } from './token-cache.ts'
import { type AccessToken, CredentialRefused, type TokenRequest } from './token-service.ts'

const { signal } = new AbortController()
const REQUEST: TokenRequest = {
  realm: new URL('https://auth.example/token'),
  service: 's',
  scopes: ['repository:a:pull', 'repository:b:pull'],
  credential: password('u', 'p') as TokenRequest['credential']
}

function start(fetch: (request: TokenRequest, count: number) => Promise<AccessToken>, maxTokens = 100) {
  const clock = { now: 0 }
  let count = 0
  const cache = new TokenCache(
    { fetch: (request) => fetch(request, ++count), fingerprint: new Fingerprint(), now: () => clock.now },
    { maxTokens, fetchTimeoutMs: 1_000, marginMs: 10_000, refusedMs: 30_000 }
  )
  const get = (request: Partial<TokenRequest> = {}, by = signal) => cache.get({ ...REQUEST, ...request }, by)
  return { clock, cache, get }
}

const counted = async (_: TokenRequest, count: number) => ({ token: `t${count}`, validForMs: 60_000 })

it('fetches a token once, and anew before it expires', async () => {
  const { clock, get } = start(counted)
  expect([await get(), await get()]).toEqual(['t1', 't1'])
  clock.now = 49_999
  expect(await get()).toBe('t1')
  clock.now = 50_000
  expect(await get()).toBe('t2')
})

it('knows a token by realm, service, scopes in whatever order, and account', async () => {
  const { get } = start(counted)
  expect(await get()).toBe('t1')
  expect(await get({ scopes: REQUEST.scopes.toReversed() })).toBe('t1')
  expect(await get({ realm: new URL('https://auth.example/other') })).toBe('t2')
  expect(await get({ service: undefined })).toBe('t3')
  expect(await get({ scopes: ['repository:a:pull'] })).toBe('t4')
  expect(await get({ credential: undefined })).toBe('t5')
  const other: TokenRequest['credential'] = { kind: 'password', username: 'u', password: 'q' }
  expect(await get({ credential: other })).toBe('t6')
  expect(await get({ credential: { kind: 'identityToken', token: 'p' } })).toBe('t7')
})

it('fetches once for all who wait, and goes on when the first of them leaves', async () => {
  const { promise, resolve } = Promise.withResolvers<AccessToken>()
  const { get } = start(() => promise)
  const impatient = new AbortController()
  const [first, second] = [get({}, impatient.signal), get()]
  impatient.abort(new Error('gone'))
  await expect(first).rejects.toThrow('gone')
  resolve({ token: 't', validForMs: 60_000 })
  expect(await second).toBe('t')
})

it('keeps no failure', async () => {
  const { get } = start(async (request, count) => {
    if (count === 1) throw new Error('down')
    return counted(request, count)
  })
  await expect(Promise.all([get(), get()])).rejects.toThrow('down')
  expect(await get()).toBe('t2')
})

it('does not show a credential again for a while that was refused', async () => {
  const { clock, get } = start(async (request, count) => {
    if (count === 1) throw new CredentialRefused('wrong password')
    return counted(request, count)
  })
  await expect(get()).rejects.toThrow('wrong password')
  clock.now = 29_999
  await expect(get()).rejects.toThrow('wrong password')
  expect(await get({ credential: undefined })).toBe('t2')
  clock.now = 30_000
  expect(await get()).toBe('t3')
})

it('drops a token that was refused, and none that came after it', async () => {
  const { cache, get } = start(counted)
  expect(await get()).toBe('t1')
  cache.drop(REQUEST, 't1')
  expect(await get()).toBe('t2')
  cache.drop(REQUEST, 't1')
  expect(await get()).toBe('t2')
})

it('forgets tokens rather than to grow', async () => {
  const { get } = start(counted, 3)
  for (const service of ['a', 'b', 'c', 'd']) await get({ service })
  expect(await get({ service: 'd' })).toBe('t4')
  expect(await get({ service: 'a' })).toBe('t5')
})

import { expect, it } from 'vitest'
import { isUpstreamError } from '../errors.ts'
import { LeftAlone } from '../pace/left-alone.ts'
import { AnswerHeaders, type HttpAnswer, type HttpRequest } from './answer.ts'
import { Exchange } from './exchange.ts'
import { ConnectFailure, UnsafeTarget } from './failures.ts'

const { signal } = new AbortController()
const SECRET = 'Bearer secret'

interface Scripted {
  readonly status: number
  readonly location?: string
}

/** Answers by URL; what is not there is 200. */
function exchangeWith(origin: string, script: Readonly<Record<string, Scripted | Error>>) {
  const sent: HttpRequest[] = []
  const clock = { now: 0 }
  const send = async (request: HttpRequest): Promise<HttpAnswer> => {
    sent.push(request)
    const scripted = script[request.url.href] ?? { status: 200 }
    if (scripted instanceof Error) throw scripted
    const headers = new AnswerHeaders({ location: scripted.location })
    return { status: scripted.status, url: request.url, headers, body: { dump: async () => null } as never }
  }
  const unreachable = new LeftAlone({ now: () => clock.now }, { pauseMs: 10_000, maxPauseMs: 120_000 })
  const exchange = new Exchange({ transport: { send }, unreachable }, { registry: 'r' })
  const ask = (path = '/v2/a', method: 'GET' | 'HEAD' = 'GET') =>
    exchange.follow({ method, url: new URL(path, origin), headers: { authorization: SECRET, accept: 'x' } }, signal)
  const codeOf = (path?: string, method?: 'GET' | 'HEAD') =>
    ask(path, method).then(String, (error: unknown) => isUpstreamError(error) && error.code)
  const shownTo = () => sent.filter(({ headers }) => headers.authorization !== undefined).map(({ url }) => url.href)
  return { sent, clock, ask, codeOf, shownTo }
}

it('follows redirects, and shows the credential to the registry alone', async () => {
  const { ask, sent, shownTo } = exchangeWith('https://r.example', {
    'https://r.example/v2/a': { status: 307, location: '/v2/b' },
    'https://r.example/v2/b': { status: 302, location: 'https://store.example/c?signature=1' }
  })
  const answer = await ask()
  expect(answer.url.href).toBe('https://store.example/c?signature=1')
  expect(sent.map(({ headers }) => headers.accept)).toEqual(['x', 'x', 'x'])
  expect(shownTo()).toEqual(['https://r.example/v2/a', 'https://r.example/v2/b'])
})

it.each([
  ['another host', 'https://evil.example/b'],
  ['another port', 'https://r.example:444/b'],
  ['a host below', 'https://sub.r.example/b']
])('shows the credential to nobody after a redirect to %s, not even to the registry again', async (_, location) => {
  const { ask, sent, shownTo } = exchangeWith('https://r.example', {
    'https://r.example/v2/a': { status: 307, location },
    [location]: { status: 307, location: 'https://r.example/v2/c' }
  })
  await ask()
  expect(sent).toHaveLength(3)
  expect(shownTo()).toEqual(['https://r.example/v2/a'])
})

it('does not show it after a change of the scheme either', async () => {
  const { ask, shownTo } = exchangeWith('http://r.example', {
    'http://r.example/v2/a': { status: 307, location: 'https://r.example/v2/a' }
  })
  await ask()
  expect(shownTo()).toEqual(['http://r.example/v2/a'])
})

it.each([
  ['http://r.example/b', 'UNSAFE'],
  ['ftp://r.example/b', 'UNSAFE'],
  ['file:///etc/passwd', 'UNSAFE'],
  ['https://user:secret@store.example/b', 'UNSAFE'],
  ['https://[', 'MALFORMED'],
  ['', 'MALFORMED'],
  [`https://store.example/${'a'.repeat(9_000)}`, 'MALFORMED']
])('does not follow a redirect to %s', async (location, code) => {
  const { codeOf, sent } = exchangeWith('https://r.example', { 'https://r.example/v2/a': { status: 302, location } })
  expect(await codeOf()).toBe(code)
  expect(sent).toHaveLength(1)
})

it('follows http to http', async () => {
  const { ask } = exchangeWith('http://r.example', {
    'http://r.example/v2/a': { status: 302, location: 'http://store.example/b' }
  })
  expect((await ask()).url.href).toBe('http://store.example/b')
})

it('never goes back to http once it came to https', async () => {
  const { codeOf } = exchangeWith('http://r.example', {
    'http://r.example/v2/a': { status: 302, location: 'https://store.example/b' },
    'https://store.example/b': { status: 302, location: 'http://store.example/b' }
  })
  expect(await codeOf()).toBe('UNSAFE')
})

it('gives up on redirects that do not end', async () => {
  const { codeOf, sent } = exchangeWith('https://r.example', {
    'https://r.example/v2/a': { status: 302, location: '/v2/a' }
  })
  expect(await codeOf()).toBe('MALFORMED')
  expect(sent).toHaveLength(6)
})

it('names no target of a redirect in what it throws', async () => {
  const { ask } = exchangeWith('https://r.example', {
    'https://r.example/v2/a': { status: 302, location: 'https://store.example/b?signature=secret' },
    'https://store.example/b?signature=secret': new ConnectFailure(Object.assign(new Error(), { code: 'ECONNREFUSED' }))
  })
  const error: unknown = await ask().catch((reason: unknown) => reason)
  expect(error).toMatchObject({ code: 'UNREACHABLE', registry: 'r' })
  expect((error as Error).message).not.toMatch(/store|secret/)
})

it('leaves a registry alone that can not be reached, and probes it by one request', async () => {
  const down = new ConnectFailure(Object.assign(new Error(), { code: 'ECONNREFUSED' }))
  const script: Record<string, Error> = { 'https://r.example/v2/a': down }
  const { codeOf, sent, clock } = exchangeWith('https://r.example', script)
  expect([await codeOf(), await codeOf(), await codeOf('/v2/b')]).toEqual(['UNREACHABLE', 'UNREACHABLE', 'UNREACHABLE'])
  expect(sent).toHaveLength(1)
  clock.now = 10_000
  await Promise.all([codeOf(), codeOf(), codeOf()])
  expect(sent).toHaveLength(2)
  clock.now = 30_000
  delete script['https://r.example/v2/a']
  expect(await codeOf()).toBe('[object Object]')
  expect(await codeOf()).toBe('[object Object]')
})

it('goes on asking a registry whose store can not be reached', async () => {
  const down = new ConnectFailure(Object.assign(new Error(), { code: 'ECONNREFUSED' }))
  const { codeOf, sent } = exchangeWith('https://r.example', {
    'https://r.example/v2/blob': { status: 302, location: 'https://store.example/b' },
    'https://store.example/b': down
  })
  expect(await codeOf('/v2/blob')).toBe('UNREACHABLE')
  expect(await codeOf('/v2/blob')).toBe('UNREACHABLE')
  expect(await codeOf('/v2/manifest')).toBe('[object Object]')
  expect(sent.filter(({ url }) => url.host === 'store.example')).toHaveLength(1)
})

it('leaves a registry alone after three requests that it took and did not answer', async () => {
  const silent = Object.assign(new Error(), { code: 'UND_ERR_HEADERS_TIMEOUT' })
  const { codeOf, sent } = exchangeWith('https://r.example', { 'https://r.example/v2/a': silent })
  const codes = [await codeOf(), await codeOf(), await codeOf(), await codeOf()]
  expect(codes).toEqual(['UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE', 'UNREACHABLE'])
  expect(sent).toHaveLength(3)
})

it('leaves a registry alone that did not answer so much as a HEAD', async () => {
  const silent = Object.assign(new Error(), { code: 'UND_ERR_HEADERS_TIMEOUT' })
  const { codeOf, sent } = exchangeWith('https://r.example', { 'https://r.example/v2/a': silent })
  expect([await codeOf('/v2/a', 'HEAD'), await codeOf('/v2/b')]).toEqual(['UNAVAILABLE', 'UNREACHABLE'])
  expect(sent).toHaveLength(1)
})

it('sends a request again, once, whose connection was lost', async () => {
  const { codeOf, sent } = exchangeWith('https://r.example', {
    'https://r.example/v2/a': Object.assign(new Error(), { code: 'ECONNRESET' })
  })
  expect(await codeOf()).toBe('UNAVAILABLE')
  expect(sent).toHaveLength(2)
})

it.each([
  [new ConnectFailure(new UnsafeTarget()), 'UNSAFE'],
  [new UnsafeTarget(), 'UNSAFE'],
  [Object.assign(new Error(), { code: 'HPE_INVALID_CONSTANT' }), 'MALFORMED'],
  [Object.assign(new Error(), { code: 'UND_ERR_HEADERS_OVERFLOW' }), 'MALFORMED'],
  [new Error('anything else'), 'UNAVAILABLE']
])('says what %s means', async (error, code) => {
  const { codeOf } = exchangeWith('https://r.example', { 'https://r.example/v2/a': error })
  expect(await codeOf()).toBe(code)
})

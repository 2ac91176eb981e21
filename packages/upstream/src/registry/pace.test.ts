import type { ServerResponse } from 'node:http'
import { expect, it } from 'vitest'
import type { UpstreamIdentity } from '../interfaces.ts'
import type { RequestOutcome } from '../observer.ts'
import { FakeRegistry } from '../testing/fake-registry.ts'
import { deadUrl } from '../testing/local-server.ts'
import { type OpenFakeOptions, openFake } from '../testing/open-fake.ts'

const { signal } = new AbortController()

async function start(url: string, options: OpenFakeOptions = {}) {
  const clock = { now: 0 }
  const outcomes: RequestOutcome[] = []
  const limits: unknown[] = []
  const logged: string[] = []
  const log = {
    debug: () => {},
    info: (_: object, message: string) => logged.push(message),
    warn: (_: object, message: string) => logged.push(message)
  }
  const observer = {
    asked: (_: string, outcome: RequestOutcome) => outcomes.push(outcome),
    rateLimit: (registry: string, told: object) => limits.push([registry, told])
  }
  const registry = await openFake(url, { ...options, components: { log, observer, now: () => clock.now } })
  const failure = async (asked: Promise<unknown>) => {
    const error: unknown = await asked.then(
      () => ({ code: 'ok' }),
      (reason: unknown) => reason
    )
    const { code, retryAfterMs } = error as { code: string; retryAfterMs?: number }
    return retryAfterMs === undefined ? code : `${code} ${retryAfterMs}`
  }
  const head = (as: UpstreamIdentity = 'node') => failure(registry.headManifest('a', 'latest', { signal, as }))
  const get = (as: UpstreamIdentity = 'node') => failure(registry.getManifest('a', 'latest', { signal, as }))
  return { clock, outcomes, limits, logged, head, get }
}

async function startLimited(headers: Record<string, string> = {}) {
  const server = await FakeRegistry.start()
  server.addManifest({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json' }, 'latest')
  const answer429 = () => {
    server.intercept = (_, response) => {
      response.writeHead(429, headers).end()
      return true
    }
  }
  return { server, answer429, ...(await start(server.url)) }
}

it('leaves a registry alone that answers 429, for as long as it says, and says so once', async () => {
  const { server, answer429, clock, head, logged, outcomes } = await startLimited({ 'retry-after': '30' })
  answer429()
  expect([await head(), await head(), await head()]).toEqual([
    'RATE_LIMITED 30000',
    'RATE_LIMITED 30000',
    'RATE_LIMITED 30000'
  ])
  expect(server.seen).toHaveLength(1)
  clock.now = 30_000
  server.intercept = () => undefined
  expect(await head()).toBe('ok')
  expect(logged).toEqual(['a registry answers too many requests no more; leaving it alone', 'a registry answers again'])
  expect(outcomes).toEqual(['rate_limited', 'rate_limited', 'rate_limited', 'ok'])
})

it('leaves it alone for a minute when it does not say, and for a quarter of an hour at most', async () => {
  const silent = await startLimited()
  silent.answer429()
  await silent.head()
  expect(await silent.head()).toBe('RATE_LIMITED 60000')
  const greedy = await startLimited({ 'retry-after': '99999999' })
  greedy.answer429()
  await greedy.head()
  expect(await greedy.head()).toBe('RATE_LIMITED 900000')
})

it('goes on with HEAD while GET is limited, as Docker Hub counts them', async () => {
  const { server, head, get } = await startLimited()
  server.intercept = ({ method }, response) => {
    if (method === 'HEAD') return undefined
    response.writeHead(429).end()
    return true
  }
  expect([await get(), await head()]).toEqual(['RATE_LIMITED', 'ok'])
})

it('goes on for others when the account of a client is limited', async () => {
  const { server, head, logged } = await startLimited()
  const [alice, bob] = ['Bearer alice', 'Bearer bob'].map((authorization) => ({ authorization }))
  server.intercept = ({ headers }, response) => {
    if (headers.authorization !== 'Bearer alice') return undefined
    response.writeHead(429).end()
    return true
  }
  expect(await head(alice)).toBe('RATE_LIMITED')
  expect(await head(alice)).toBe('RATE_LIMITED 60000')
  expect([await head(bob), await head(), await head('anonymous')]).toEqual(['ok', 'ok', 'ok'])
  expect(logged).toEqual([])
})

it('goes on for others when the credential of a client is bad', async () => {
  const { server, head, outcomes } = await startLimited()
  server.intercept = ({ headers }, response) => {
    if (headers.authorization === undefined) return undefined
    response.writeHead(401).end()
    return true
  }
  for (let at = 0; at < 20; at++) await head({ authorization: `Bearer bad${at}` })
  expect(await head()).toBe('ok')
  expect(new Set(outcomes)).toEqual(new Set(['unauthorized', 'ok']))
})

it('tells what is left of the limit of this node, and nothing of that of clients', async () => {
  const { server, head, limits } = await startLimited()
  server.intercept = (_, response) => {
    response.setHeader('ratelimit-limit', '100;w=21600')
    response.setHeader('ratelimit-remaining', '42;w=21600')
    return undefined
  }
  await head({ authorization: 'Bearer abc' })
  expect(limits).toEqual([])
  await head()
  expect(limits).toEqual([['registry.example', { limit: 100, remaining: 42 }]])
})

it('leaves a registry alone that can not be reached, for longer and longer, and says so once', async () => {
  const { clock, head, logged, outcomes } = await start(await deadUrl())
  expect([await head(), await head()]).toEqual(['UNREACHABLE', 'UNREACHABLE 10000'])
  clock.now = 10_000
  expect([await head(), await head()]).toEqual(['UNREACHABLE', 'UNREACHABLE 20000'])
  for (const pauseMs of [20_000, 40_000, 80_000]) {
    clock.now += pauseMs
    await head()
  }
  expect(await head()).toBe('UNREACHABLE 120000')
  expect(logged).toEqual(['a registry can not be reached; leaving it alone'])
  expect(new Set(outcomes)).toEqual(new Set(['unreachable']))
})

it('counts how questions went', async () => {
  const { server, head, outcomes } = await startLimited()
  await head()
  server.content.clear()
  await head()
  server.intercept = (_, response) => {
    response.writeHead(500).end()
    return true
  }
  await head()
  expect(outcomes).toEqual(['ok', 'missing', 'unavailable'])
})

it('has questions wait for each other, so that a registry gets no more at one time than it may', async () => {
  const server = await FakeRegistry.start()
  let most = 0
  const open: ServerResponse[] = []
  const answerAll = () => {
    for (const response of open.splice(0)) response.writeHead(404).end()
  }
  server.intercept = (_, response) => {
    most = Math.max(most, open.push(response))
    // As many as there may be are here; one too many would come meanwhile.
    if (open.length === 3) setTimeout(answerAll, 20)
    return true
  }
  const { head } = await start(server.url, { limits: { maxRequests: 3 } })
  await Promise.all(Array.from({ length: 12 }, () => head()))
  expect([most, server.seen.length]).toEqual([3, 12])
})

it('does not have a question wait for a slot longer than for an answer', async () => {
  const server = await FakeRegistry.start()
  server.intercept = () => true
  const { head } = await start(server.url, { limits: { maxRequests: 1, answerTimeoutMs: 300 } })
  expect(await Promise.all([head(), head(), head()])).toEqual(['UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE'])
})

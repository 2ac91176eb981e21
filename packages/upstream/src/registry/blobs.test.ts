import { randomBytes } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { digestOf } from '@layermesh/oci'
import { expect, it } from 'vitest'
import type { FetchedBlob, UpstreamIdentity } from '../interfaces.ts'
import type { UpstreamLimits } from '../limits.ts'
import { FakeRegistry } from '../testing/fake-registry.ts'
import { openFake } from '../testing/open-fake.ts'

const BYTES = randomBytes(300_000)
const QUICK: Partial<UpstreamLimits> = { resumeDelaysMs: [0, 0, 0], unreachablePauseMs: 0 }

async function start(limits: Partial<UpstreamLimits> = QUICK) {
  const server = await FakeRegistry.start()
  const digest = server.addBlob(BYTES)
  const registry = await openFake(server.url, { limits })
  const { signal } = new AbortController()
  const open = (from = 0, by = signal, as: UpstreamIdentity = 'node') =>
    registry.openBlob('a', digest, from, { signal: by, as })
  const ranges = () => server.seen.map(({ headers }) => headers.range)
  return { server, digest, registry, open, ranges }
}

async function read(blob: FetchedBlob | undefined): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of blob?.body ?? []) chunks.push(chunk)
  return Buffer.concat(chunks)
}

const codeOf = (asked: Promise<unknown>) =>
  asked.then(
    () => 'ok',
    ({ code }: { code: string }) => code
  )

/** Sends so much of a body and breaks off. */
function cut(response: ServerResponse, headers: object, bytes: Buffer): true {
  response.writeHead('content-range' in headers ? 206 : 200, { ...headers })
  response.write(bytes, () => response.destroy())
  return true
}

it('gives a blob from any offset', async () => {
  const { open, ranges } = await start()
  const whole = await open()
  expect(whole?.size).toBe(BYTES.length)
  expect(await read(whole)).toEqual(BYTES)
  const part = await open(299_999)
  expect(part?.size).toBe(BYTES.length)
  expect(await read(part)).toEqual(BYTES.subarray(299_999))
  expect(ranges()).toEqual([undefined, 'bytes=299999-'])
})

it('gives nothing from the end, whether the registry answers 416 or 200', async () => {
  const { open, server } = await start()
  server.intercept = (_, response) => {
    response.writeHead(416, { 'content-range': `bytes */${BYTES.length}` }).end()
    return true
  }
  const empty = await open(BYTES.length)
  expect([empty?.size, (await read(empty)).length]).toEqual([BYTES.length, 0])
  expect(await codeOf(open(5))).toBe('MALFORMED')
  server.intercept = (_, response) => {
    response.writeHead(200, { 'content-length': BYTES.length }).end(BYTES)
    return true
  }
  expect((await read(await open(BYTES.length))).length).toBe(0)
})

it('skips what a registry without ranges sends before the offset', async () => {
  const { open, server } = await start()
  server.intercept = (_, response) => {
    response.writeHead(200, { 'content-length': BYTES.length }).end(BYTES)
    return true
  }
  const blob = await open(123_456)
  expect(blob?.size).toBe(BYTES.length)
  expect(await read(blob)).toEqual(BYTES.subarray(123_456))
})

it('goes on by range where a blob broke off, as often as it takes', async () => {
  const { open, server, ranges } = await start()
  server.intercept = ({ headers }, response) => {
    const from = Number(/=(\d+)-/.exec(headers.range ?? '')?.[1] ?? 0)
    if (from >= 200_000) return undefined
    const range = from === 0 ? {} : { 'content-range': `bytes ${from}-${BYTES.length - 1}/${BYTES.length}` }
    return cut(response, { ...range, 'content-length': BYTES.length - from }, BYTES.subarray(from, from + 100_000))
  }
  expect((await read(await open())).equals(BYTES)).toBe(true)
  expect(ranges()).toEqual([undefined, 'bytes=100000-', 'bytes=200000-'])
})

it('goes on from the start where the registry knows no ranges', async () => {
  const { open, server } = await start()
  server.intercept = (_, response) => {
    const headers = { 'content-length': BYTES.length }
    if (server.seen.length === 1) return cut(response, headers, BYTES.subarray(0, 100_000))
    response.writeHead(200, headers).end(BYTES)
    return true
  }
  expect((await read(await open(50_000))).equals(BYTES.subarray(50_000))).toBe(true)
})

it('gives up on a blob that breaks off again and again', async () => {
  const { open, server } = await start()
  server.intercept = (_, response) => cut(response, { 'content-length': BYTES.length }, Buffer.alloc(0))
  expect(await codeOf(open().then(read))).toBe('UNAVAILABLE')
  expect(server.seen).toHaveLength(4)
})

it.each([
  ['length', { 'content-range': `bytes 100000-${BYTES.length}/${BYTES.length + 1}` }],
  ['ETag', { 'content-range': `bytes 100000-${BYTES.length - 1}/${BYTES.length}`, etag: '"other"' }]
])('refuses to go on with a blob whose %s has changed', async (_, headers) => {
  const { open, server } = await start()
  server.intercept = (_request, response) => {
    if (server.seen.length === 1) {
      return cut(response, { 'content-length': BYTES.length, etag: '"one"' }, BYTES.subarray(0, 100_000))
    }
    response.writeHead(206, headers).end(BYTES.subarray(100_000))
    return true
  }
  expect(await codeOf(open().then(read))).toBe('MALFORMED')
})

it.each([
  ['no length', 200, { 'transfer-encoding': 'chunked' }],
  ['another start', 206, { 'content-range': `bytes 6-${BYTES.length - 1}/${BYTES.length}` }],
  ['an end before the end', 206, { 'content-range': `bytes 5-100/${BYTES.length}` }],
  ['no range', 206, {}],
  ['a range without the whole length', 206, { 'content-range': 'bytes 5-299999/*' }],
  ['several ranges', 206, { 'content-type': 'multipart/byteranges; boundary=x' }],
  ['a length that does not fit the range', 206, { 'content-range': `bytes 5-299999/300000`, 'content-length': '7' }],
  ['a length before the offset', 200, { 'content-length': '4' }],
  [
    'the digest of another blob',
    200,
    { 'content-length': '300000', 'docker-content-digest': digestOf(Buffer.from('x')) }
  ],
  ['an encoded body', 200, { 'content-length': '300000', 'content-encoding': 'gzip' }]
])('refuses an answer with %s', async (_, status, headers) => {
  const { open, server } = await start()
  server.intercept = (_request, response) => {
    response.on('error', () => {}).writeHead(status, headers as Record<string, string>)
    response.flushHeaders()
    return true
  }
  expect(await codeOf(open(5))).toBe('MALFORMED')
})

it('takes no more of a range than it is said to have', async () => {
  const { open, server } = await start()
  server.intercept = (_, response) => {
    response.writeHead(206, { 'content-range': `bytes 5-299999/300000`, 'transfer-encoding': 'chunked' })
    response.end(BYTES)
    return true
  }
  expect(await codeOf(open(5).then(read))).toBe('MALFORMED')
})

it('goes on where a body has fallen silent', async () => {
  const { open, server } = await start({ ...QUICK, silenceTimeoutMs: 2_000 })
  server.intercept = (_, response) => {
    if (server.seen.length > 1) return undefined
    response.writeHead(200, { 'content-length': BYTES.length })
    response.write(BYTES.subarray(0, 1_000))
    return true
  }
  expect((await read(await open())).equals(BYTES)).toBe(true)
})

it('does not take a reader that is slow for silence', async () => {
  const { open, server } = await start({ ...QUICK, silenceTimeoutMs: 4_000 })
  const blob = await open()
  let length = 0
  for await (const chunk of blob?.body ?? []) {
    if (length === 0) await new Promise((resolve) => setTimeout(resolve, 5_500))
    length += chunk.length
  }
  expect(length).toBe(BYTES.length)
  expect(server.seen).toHaveLength(1)
})

it('reads nothing ahead of its reader but a small buffer', async () => {
  const { open, server } = await start()
  let sent = 0
  server.intercept = (_, response) => {
    response.writeHead(200, { 'content-length': 1_000_000_000 })
    const write = () => {
      if (response.destroyed) return
      sent += 65_536
      response.write(Buffer.alloc(65_536), () => setImmediate(write))
    }
    write()
    return true
  }
  const blob = await open()
  const iterator = blob?.body[Symbol.asyncIterator]()
  await iterator?.next()
  let before = -1
  while (before !== sent) {
    before = sent
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  // What the system holds on both sides of a connection is not ours to bound.
  expect(sent).toBeLessThan(32_000_000)
  await iterator?.return?.(undefined)
})

it('ends the connection when its reader leaves', async () => {
  const { open, server } = await start()
  const gone = Promise.withResolvers<void>()
  server.intercept = (_, response) => {
    response.on('close', gone.resolve)
    response.writeHead(200, { 'content-length': BYTES.length })
    response.write(BYTES.subarray(0, 1_000))
    return true
  }
  for await (const _ of (await open())?.body ?? []) break
  await gone.promise
})

it('ends with its signal, before and while it is read', async () => {
  const { open } = await start()
  const { server, ...other } = await start()
  const gone: Promise<void>[] = []
  server.intercept = (_, response) => {
    gone.push(new Promise((resolve) => response.on('close', resolve)))
    response.writeHead(200, { 'content-length': BYTES.length })
    response.write(BYTES.subarray(0, 1_000))
    return true
  }
  const reason = new Error('enough')
  const stop = new AbortController()
  const unread = await other.open(0, stop.signal)
  const half = await other.open(0, stop.signal)
  const iterator = half?.body[Symbol.asyncIterator]()
  await iterator?.next()
  const rest = iterator?.next()
  stop.abort(reason)
  await expect(rest).rejects.toBe(reason)
  await expect(read(unread)).rejects.toBe(reason)
  await Promise.all(gone)
  await expect(open(0, stop.signal)).rejects.toBe(reason)
})

it('lets go of a blob that nobody reads, and takes it up again when somebody does', async () => {
  const { open, server } = await start({ ...QUICK, unclaimedMs: 50, maxBlobs: 1 })
  const gone = Promise.withResolvers<void>()
  server.intercept = (_, response) => {
    if (server.seen.length > 1) return undefined
    response.on('close', gone.resolve)
    response.writeHead(200, { 'content-length': BYTES.length })
    response.write(BYTES.subarray(0, 1_000))
    return true
  }
  const blob = await open()
  await gone.promise
  expect((await read(await open())).equals(BYTES)).toBe(true)
  expect((await read(blob)).equals(BYTES)).toBe(true)
})

it('brings so many blobs at one time, and others after them', async () => {
  const { open, server } = await start({ ...QUICK, maxBlobs: 2 })
  const [first, second, third] = [await open(), await open(), open()]
  expect(server.seen).toHaveLength(2)
  await read(first)
  await read(second)
  expect((await read(await third)).equals(BYTES)).toBe(true)
})

it('asks a store anew that a redirect has led to, and takes its refusal for no word of the registry', async () => {
  const { open, server, digest } = await start()
  const store = await FakeRegistry.start()
  store.intercept = ({ headers }, response) => {
    expect(headers.authorization).toBeUndefined()
    if (store.seen.length === 1) return cut(response, { 'content-length': BYTES.length }, BYTES.subarray(0, 1_000))
    if (store.seen.length === 2) {
      response.writeHead(403).end()
      return true
    }
    return undefined
  }
  store.addBlob(BYTES)
  server.intercept = (_, response) => {
    response.writeHead(307, { location: `${store.url}/v2/a/blobs/${digest}?signature=${server.seen.length}` }).end()
    return true
  }
  expect((await read(await open())).equals(BYTES)).toBe(true)
  expect(store.seen.map(({ path, headers }) => [path.split('?')[1], headers.range])).toEqual([
    ['signature=1', undefined],
    ['signature=2', 'bytes=1000-'],
    ['signature=3', 'bytes=1000-']
  ])
})

it('shows the registry nothing that a store asks for', async () => {
  const { open, server, digest } = await start()
  const store = await FakeRegistry.start()
  store.intercept = (_, response) => {
    response.writeHead(401, { 'www-authenticate': 'Basic realm="store"' }).end()
    return true
  }
  server.intercept = (_, response) => {
    response.writeHead(307, { location: `${store.url}/v2/a/blobs/${digest}` }).end()
    return true
  }
  const authorization = `Basic ${Buffer.from('alice:secret').toString('base64')}`
  expect(await codeOf(open(0, undefined, { authorization }))).toBe('UNAVAILABLE')
  for (const { headers } of [...server.seen, ...store.seen]) expect(headers.authorization).toBeUndefined()
})

it('asks for another address when the first one is refused by the store, once', async () => {
  const { open, server, digest } = await start()
  const store = await FakeRegistry.start()
  let refusals = 1
  store.intercept = (_, response) => {
    if (refusals-- <= 0) return undefined
    response.writeHead(403).end()
    return true
  }
  store.addBlob(BYTES)
  server.intercept = (_, response) => {
    response.writeHead(307, { location: `${store.url}/v2/a/blobs/${digest}` }).end()
    return true
  }
  expect((await read(await open())).equals(BYTES)).toBe(true)
  refusals = 2
  expect(await codeOf(open())).toBe('UNAVAILABLE')
  expect([server.seen.length, store.seen.length]).toEqual([4, 4])
})

it('tells the length of a blob', async () => {
  const { registry, server, digest } = await start()
  const { signal } = new AbortController()
  expect(await registry.headBlob('a', digest, { signal })).toBe(BYTES.length)
  expect(server.log).toEqual([`HEAD /v2/a/blobs/${digest}`])
})

it.each([
  ['405 to HEAD', 405, {}],
  ['no length to HEAD', 200, { 'transfer-encoding': 'chunked' }],
  ['HEAD by a store that takes only GET', 307, { location: '/refused' }]
])('asks for one byte to learn the length where a registry answers %s', async (_, status, headers) => {
  const { registry, server, digest, ranges } = await start()
  const { signal } = new AbortController()
  server.intercept = ({ method, url }, response) => {
    if (url === '/refused') response.writeHead(500).end()
    else if (method === 'HEAD') response.writeHead(status, headers as Record<string, string>).end()
    else response.writeHead(206, { 'content-range': `bytes 0-0/${BYTES.length}` }).end('x')
    return true
  }
  expect(await registry.headBlob('a', digest, { signal })).toBe(BYTES.length)
  expect(ranges().at(-1)).toBe('bytes=0-0')
  server.intercept = (_request, response) => {
    response.writeHead(200, { 'transfer-encoding': 'chunked' }).end()
    return true
  }
  expect(await codeOf(registry.headBlob('a', digest, { signal }))).toBe('MALFORMED')
})

it('takes a digest of another algorithm for no other blob', async () => {
  const { registry, server } = await start()
  const { signal } = new AbortController()
  server.intercept = (_, response) => {
    response.writeHead(200, { 'content-length': BYTES.length, 'docker-content-digest': digestOf(BYTES) }).end(BYTES)
    return true
  }
  const blob = await registry.openBlob('a', digestOf(BYTES, 'sha512'), 0, { signal })
  expect((await read(blob)).equals(BYTES)).toBe(true)
})

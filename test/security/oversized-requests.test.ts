import { beforeAll, expect, test } from 'vitest'
import { useSandbox } from '../support/sandbox.ts'
import { ask, imageOf, type PushedImage, putImage, putManifest } from './support/client.ts'
import { exchange, RawHttp, requestBytes } from './support/raw-http.ts'
import { type Usage, Victim } from './support/victim.ts'

const MIB = 1024 * 1024
/** Of the clock that counts the use of CPUs, for an answer to be anything but chance. */
const LEAST_TICKS = 5

const sandbox = useSandbox()
let victim: Victim
let image: PushedImage
let before: Usage

beforeAll(async () => {
  victim = await Victim.start(sandbox, { name: 'seed', role: 'seed' })
  image = await putImage(victim.node, 'team/app', '1', Buffer.alloc(4096, 'layer'))
  before = await victim.usage()
})

const get = (headers: readonly string[], target = `/v2/team/app/blobs/${image.layer.digest}`) =>
  exchange(victim.node.registryUrl, requestBytes('GET', target, headers))

test('a head of more bytes than it may have is refused while it comes', async () => {
  expect((await get([`X: ${'x'.repeat(64 * 1024)}`]))?.status).toBe(431)
  expect((await get([], `/v2/?${'x'.repeat(64 * 1024)}`))?.status).toBe(431)
  const endless = await RawHttp.open(victim.node.registryUrl)
  endless.write('GET /v2/ HTTP/1.1\r\n')
  const answer = endless.answer()
  let sent = 0
  while (!endless.closed && sent < 64 * MIB) {
    const line = `X-${sent}: ${'y'.repeat(16 * 1024)}\r\n`
    if (!endless.write(line)) await endless.drained()
    sent += line.length
    await new Promise(setImmediate)
  }
  expect((await answer.catch(() => undefined))?.status ?? 431).toBe(431)
  expect(sent).toBeLessThan(16 * MIB)
})

test('thousands of short headers are refused or ignored', async () => {
  const answer = await get(Array.from({ length: 5_000 }, () => 'a:'))
  expect(answer?.status).toBeOneOf([200, 400, 431])
})

test('thousands of parameters of a query cost nothing', async () => {
  const query = (pair: (i: number) => string) => Array.from({ length: 3_000 }, (_, i) => pair(i)).join('&')
  for (const text of [query((i) => `a${i}=b`), query(() => 'n=1'), query(() => ''), query(() => '__proto__=x')]) {
    expect((await ask(victim.node, 'GET', `/v2/team/app/tags/list?${text}`)).status).toBeLessThan(500)
  }
})

test('more tags than a push may set are refused before the manifest is read', async () => {
  const { manifest, digest } = imageOf(Buffer.alloc(4096, 'layer'))
  const tags = Array.from({ length: 500 }, (_, i) => `tag=t${i}`).join('&')
  expect((await putManifest(victim.node, 'team/app', `${digest}?${tags}`, manifest)).status).toBe(414)
  const { body } = await ask(victim.node, 'GET', '/v2/team/app/tags/list')
  expect(JSON.parse(body.toString()).tags).toEqual(['1'])
})

// CVE-2011-3192 (httpd): many overlapping ranges, each answered.
test('many ranges are answered with the whole, or not at all', async () => {
  const ranges = Array.from({ length: 1_300 }, (_, i) => `${i}-`).join(',')
  const answer = await get([`Range: bytes=${ranges}`])
  expect(answer?.status).toBeOneOf([200, 400, 416])
  expect(answer?.body.length).toBeLessThanOrEqual(4096 + 1024)
  for (const range of [
    'bytes=-0',
    'bytes=9999-',
    'bytes=5-1',
    `bytes=${'9'.repeat(400)}-`,
    'bytes=0-9999999999999999999'
  ]) {
    const { status = 0, body = Buffer.alloc(0) } = (await get([`Range: ${range}`])) ?? {}
    expect(status, range).toBeOneOf([200, 206, 400, 416])
    if (status === 206) expect(body.length, range).toBe(4096)
  }
})

test('lists in headers are read in time that grows with their length only', async () => {
  const [commas, spaces] = [','.repeat(30_000), ' '.repeat(30_000)]
  const started = await victim.usedCpu()
  for (const value of [commas, spaces, `${spaces}x`, `"${commas}`, `W/${'W/'.repeat(15_000)}`]) {
    for (const name of ['If-None-Match', 'Accept', 'Range', 'If-Range', 'Content-Range', 'Expect-CT', 'Cookie']) {
      expect((await get([`${name}: ${value}`]))?.status ?? 0, name).toBeLessThan(500)
    }
  }
  const usual = await victim.usedCpu()
  for (let i = 0; i < 35; i++) await get([`X: ${'x'.repeat(30_000)}`])
  const slowdown = (usual - started) / Math.max((await victim.usedCpu()) - usual, LEAST_TICKS)
  expect(slowdown, 'times as slow as headers that nobody reads').toBeLessThan(10)
})

test('nothing of it is kept', async () => {
  await victim.expectNoLeak(before)
  victim.expectAlive()
})

import { setTimeout as sleep } from 'node:timers/promises'
import { MAX_MANIFEST_BYTES } from '@layermesh/oci'
import { beforeAll, expect, test } from 'vitest'
import { useSandbox } from '../support/sandbox.ts'
import { ask, imageOf, putImage, putManifest } from './support/client.ts'
import { RawHttp } from './support/raw-http.ts'
import { Victim } from './support/victim.ts'

const CLIENTS = 400
/** The head must have come by then; the server looks every five seconds. */
const HEAD_DEADLINE_MS = 15_000 + 5_000
const SLACK_MS = 120_000

const sandbox = useSandbox()
let victim: Victim

beforeAll(async () => {
  victim = await Victim.start(sandbox, { name: 'seed', role: 'seed' })
  await putImage(victim.node, 'team/app', '1', Buffer.from('layer'))
})

// Slowloris: a server that waits for each client as long as something comes has soon no place for others.
test('clients that send a byte a second are cut off, and keep nobody else waiting', async () => {
  const before = await victim.usage()
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => RawHttp.open(victim.node.registryUrl)))
  const ended = new AbortController()
  const dripping = (async () => {
    for (const client of clients) client.write('GET /v2/ HTTP/1.1\r\nX: ')
    while (!ended.signal.aborted) {
      for (const client of clients) if (!client.closed) client.write('x')
      await sleep(1_000)
    }
  })()
  const answers = Promise.all(clients.map((client) => client.answer('GET', HEAD_DEADLINE_MS + SLACK_MS)))
  for (let i = 0; i < 20; i++) {
    expect((await ask(victim.node, 'GET', '/v2/team/app/manifests/1')).status).toBe(200)
    await sleep(200)
  }
  for (const answer of await answers) expect(answer?.status ?? 408).toBe(408)
  ended.abort()
  await dripping
  for (const client of clients) client.destroy()
  await victim.expectNoLeak(before)
  victim.expectAlive()
})

test('clients that take nothing of what they asked for have no memory filled for them', async () => {
  const layer = Buffer.alloc(32 * 1024 * 1024, 'layer')
  const { layer: blob } = await putImage(victim.node, 'team/large', '1', layer)
  const before = await victim.usage()
  const peak = await victim.node.peakResidentBytes()
  const clients = await Promise.all(Array.from({ length: 100 }, () => RawHttp.open(victim.node.registryUrl)))
  for (const client of clients) {
    client.pause()
    client.write(`GET /v2/team/large/blobs/${blob.digest} HTTP/1.1\r\nHost: x\r\n\r\n`)
  }
  for (let i = 0; i < 10; i++) {
    expect((await ask(victim.node, 'GET', '/v2/team/app/manifests/1')).status).toBe(200)
    await sleep(100)
  }
  const growth = (await victim.node.peakResidentBytes()) - peak
  expect(growth, 'bytes for 100 clients').toBeLessThan(CLIENTS * 1024 * 1024)
  for (const client of clients) client.destroy()
  await victim.expectNoLeak(before)
})

test('requests that are sent before the last was answered are answered in turn, within bounds', async () => {
  const before = await victim.usage()
  const client = await RawHttp.open(victim.node.registryUrl)
  client.pause()
  let sent = 0
  while (!client.closed && sent < 200_000) {
    if (!client.write('GET /v2/_catalog HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(100))) {
      await Promise.race([client.drained(), sleep(500)])
      if (sent > 20_000) break
    }
    sent += 100
  }
  expect((await ask(victim.node, 'GET', '/v2/')).status).toBe(200)
  client.destroy()
  await victim.expectNoLeak(before)
  victim.expectAlive()
})

test('requests for much that are sent all at once fill no memory', async () => {
  const fields = JSON.parse(imageOf(Buffer.from('layer')).manifest.toString())
  const manifest = JSON.stringify({ ...fields, annotations: { fill: 'x'.repeat(MAX_MANIFEST_BYTES - 4096) } })
  expect((await putManifest(victim.node, 'team/app', 'long', manifest)).status).toBe(201)
  const before = await victim.usage()
  const peak = await victim.node.peakResidentBytes()
  const clients = await Promise.all(Array.from({ length: 4 }, () => RawHttp.open(victim.node.registryUrl)))
  for (const client of clients) {
    client.pause()
    client.write('GET /v2/team/app/manifests/long HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(1_000))
  }
  await expect.poll(async () => (await ask(victim.node, 'GET', '/v2/')).status).toBe(200)
  await sleep(1_000)
  expect((await victim.node.peakResidentBytes()) - peak, 'bytes for 200 KB').toBeLessThan(400 * 1024 * 1024)
  for (const client of clients) client.destroy()
  await victim.expectNoLeak(before)
  victim.expectAlive()
})

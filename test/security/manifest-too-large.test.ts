import { MAX_MANIFEST_BYTES, MEDIA_TYPE } from '@layermesh/oci'
import { beforeAll, expect, test } from 'vitest'
import { useSandbox } from '../support/sandbox.ts'
import { ask, errorCode, imageOf, putBlob, putImage, putManifest } from './support/client.ts'
import { RawHttp } from './support/raw-http.ts'
import { Victim } from './support/victim.ts'

const MIB = 1024 * 1024
const PATH = '/v2/team/app/manifests/1'
/** What 16 bodies of the longest manifest may take while they come, several times over. */
const MAX_GROWTH_BYTES = 256 * MIB

const sandbox = useSandbox()
let victim: Victim

beforeAll(async () => {
  victim = await Victim.start(sandbox, { name: 'seed', role: 'seed' })
})

/** A manifest of exactly so many bytes: the rest is an annotation. */
function manifestOf(bytes: number): Buffer {
  const { manifest } = imageOf(Buffer.from('layer'))
  const fields = JSON.parse(manifest.toString())
  const empty = JSON.stringify({ ...fields, annotations: { fill: '' } })
  return Buffer.from(JSON.stringify({ ...fields, annotations: { fill: 'x'.repeat(bytes - empty.length) } }))
}

// CVE-2017-11468 (distribution): the body of a manifest was read without a bound.
test('a manifest of 4 MiB is taken, one byte more is refused with 413', async () => {
  await putImage(victim.node, 'team/app', 'small', Buffer.from('layer'))
  expect(await putManifest(victim.node, 'team/app', 'largest', manifestOf(MAX_MANIFEST_BYTES))).toMatchObject({
    status: 201
  })
  const refused = await putManifest(victim.node, 'team/app', 'too-large', manifestOf(MAX_MANIFEST_BYTES + 1))
  expect(refused.status).toBe(413)
  expect(await ask(victim.node, 'HEAD', '/v2/team/app/manifests/too-large')).toMatchObject({ status: 404 })
})

test('a length of terabytes is refused before a byte is read', async () => {
  const client = await RawHttp.open(victim.node.registryUrl)
  client.write(`PUT ${PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: ${MEDIA_TYPE.ociManifest}\r\n`)
  client.write('Content-Length: 9007199254740991\r\n\r\n')
  expect(await client.answer('PUT')).toMatchObject({ status: 413 })
  client.destroy()
})

test('a body without a length and without an end is cut off, and memory stays flat', async () => {
  const before = await victim.usage()
  const peakBefore = await victim.node.peakResidentBytes()
  await Promise.all(Array.from({ length: 16 }, sendWithoutEnd))
  expect((await victim.node.peakResidentBytes()) - peakBefore).toBeLessThan(MAX_GROWTH_BYTES)
  await victim.expectNoLeak(before)
  victim.expectAlive()
})

test('a small manifest that was referred to as many blobs as fit is read in a bounded time', async () => {
  const blob = await putBlob(victim.node, 'team/app', Buffer.from('layer'))
  const layer = { mediaType: MEDIA_TYPE.ociLayerGzip, digest: blob, size: 5 }
  const fields = JSON.parse(imageOf(Buffer.from('layer')).manifest.toString())
  const manifest = JSON.stringify({ ...fields, layers: Array.from({ length: 20_000 }, () => layer) })
  const answer = await putManifest(victim.node, 'team/app', 'many-layers', manifest)
  expect([201, 400]).toContain(answer.status)
  if (answer.status === 400) expect(errorCode(answer)).toBe('MANIFEST_INVALID')
  expect((await ask(victim.node, 'GET', '/v2/')).status).toBe(200)
})

/** Sends chunks of spaces, as a manifest may begin with, until the server is done with it. */
async function sendWithoutEnd(): Promise<void> {
  const client = await RawHttp.open(victim.node.registryUrl)
  client.write(`PUT ${PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: ${MEDIA_TYPE.ociManifest}\r\n`)
  client.write('Transfer-Encoding: chunked\r\n\r\n')
  const chunk = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(0x10000, ' '), Buffer.from('\r\n')])
  const answer = client.answer('PUT', 60_000).catch(() => undefined)
  let sent = 0
  while (!client.closed && sent < 64 * MIB) {
    if (!client.write(chunk)) await client.drained()
    sent += chunk.length
  }
  client.destroy()
  expect(sent, 'it takes no more than the longest manifest and what is thrown away').toBeLessThan(32 * MIB)
  expect((await answer)?.status ?? 413).toBe(413)
}

import { gzipSync } from 'node:zlib'
import { MEDIA_TYPE } from '@layermesh/oci'
import { beforeAll, expect, test } from 'vitest'
import { useSandbox } from '../support/sandbox.ts'
import { ask, imageOf, putBlob, putImage, putManifest } from './support/client.ts'
import { exchange, requestBytes } from './support/raw-http.ts'
import { Victim } from './support/victim.ts'

const MIB = 1024 * 1024
const BOMB_BYTES = 256 * MIB
const MAX_GROWTH_BYTES = 128 * MIB

const sandbox = useSandbox()
let victim: Victim
let bomb: Buffer

beforeAll(async () => {
  victim = await Victim.start(sandbox, { name: 'seed', role: 'seed' })
  bomb = gzipSync(Buffer.alloc(BOMB_BYTES))
})

// CVE-2017-14992 (Docker): a layer was unpacked into memory, however much there was in it.
test('a layer that unpacks to a thousand times its size is carried as it is', async () => {
  const peak = await victim.node.peakResidentBytes()
  const digest = await putBlob(victim.node, 'team/app', bomb, { 'Content-Type': MEDIA_TYPE.ociLayerGzip })
  const asked = requestBytes('GET', `/v2/team/app/blobs/${digest}`, ['Accept-Encoding: gzip, zstd, br'])
  const answer = await exchange(victim.node.registryUrl, asked)
  expect(answer?.headers.has('content-encoding')).toBe(false)
  expect(answer?.body.equals(bomb)).toBe(true)
  expect((await victim.node.peakResidentBytes()) - peak).toBeLessThan(MAX_GROWTH_BYTES)
})

test('a body that says it is compressed is not unpacked', async () => {
  const { manifest } = await putImage(victim.node, 'team/app', '1', Buffer.from('layer'))
  const peak = await victim.node.peakResidentBytes()
  const packed = await putManifest(victim.node, 'team/app', 'packed', gzipSync(manifest), {
    'Content-Encoding': 'gzip'
  })
  expect(packed.status).toBe(400)
  const huge = gzipSync(Buffer.concat([imageOf(Buffer.from('layer')).manifest, Buffer.alloc(BOMB_BYTES, ' ')]))
  const refused = await putManifest(victim.node, 'team/app', 'packed', huge, { 'Content-Encoding': 'gzip' })
  expect(refused.status).toBe(400)
  expect((await ask(victim.node, 'HEAD', '/v2/team/app/manifests/packed')).status).toBe(404)
  expect((await victim.node.peakResidentBytes()) - peak).toBeLessThan(MAX_GROWTH_BYTES)
  victim.expectAlive()
})

test('the admin API unpacks no more than its bodies may have', async () => {
  const body = new Uint8Array(bomb)
  const headers = { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' }
  const peak = await victim.node.peakResidentBytes()
  const answer = await fetch(`${victim.node.adminUrl}/api/v1/pull`, { method: 'POST', headers, body })
  expect(answer.status).toBeOneOf([400, 413, 415])
  expect((await victim.node.peakResidentBytes()) - peak).toBeLessThan(MAX_GROWTH_BYTES)
})

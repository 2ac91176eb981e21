import { createHash } from 'node:crypto'
import { MEDIA_TYPE, parseDigest } from '@layermesh/oci'
import { expect, test } from 'vitest'
import { noise, noiseHash } from '../support/images/noise.ts'
import { MeshNode } from '../support/node.ts'
import { openBlob, pushImage } from '../support/registry-client.ts'
import { useSandbox } from '../support/sandbox.ts'

const MIB = 1024 * 1024
const BLOB_BYTES = 1024 * MIB
const MAX_RESIDENT_BYTES = 256 * MIB

const sandbox = useSandbox()

test('a blob of 1 GiB streams from seed to node to client in bounded memory', async () => {
  const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  const node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed })
  const digest = parseDigest(`sha256:${noiseHash('large', BLOB_BYTES)}`)
  const layer = { mediaType: MEDIA_TYPE.ociLayerGzip, digest, size: BLOB_BYTES }
  await pushImage(seed.registryUrl, 'team/large', '1', layer, noise('large', BLOB_BYTES))

  const response = await openBlob(node.registryUrl, 'team/large', digest)
  expect(response.headers['content-length']).toBe(String(BLOB_BYTES))
  const hash = createHash('sha256')
  let receivedAtFirstByte: number | undefined
  for await (const chunk of response) {
    receivedAtFirstByte ??= await node.receivedFromPeers()
    hash.update(chunk as Buffer)
  }

  expect(`sha256:${hash.digest('hex')}`).toBe(digest)
  expect(receivedAtFirstByte).toBeLessThan(BLOB_BYTES)
  expect(await node.receivedFromPeers()).toBeGreaterThanOrEqual(BLOB_BYTES)
  expect(await node.peakResidentBytes()).toBeLessThan(MAX_RESIDENT_BYTES)
  expect(await seed.peakResidentBytes()).toBeLessThan(MAX_RESIDENT_BYTES)
})

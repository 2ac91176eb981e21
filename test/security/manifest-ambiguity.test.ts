import { MEDIA_TYPE } from '@layermesh/oci'
import { beforeAll, expect, test } from 'vitest'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { ask, errorCode, type PushedImage, putImage, putManifest } from './support/client.ts'

const sandbox = useSandbox()
let seed: MeshNode
let image: PushedImage

beforeAll(async () => {
  seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  image = await putImage(seed, 'team/app', 'plain', Buffer.from('layer'))
})

/** It is refused, and nothing of it can be seen. */
async function expectRefused(manifest: string | Buffer, headers: Record<string, string> = {}): Promise<void> {
  const answer = await putManifest(seed, 'team/app', 'ambiguous', manifest, headers)
  expect([answer.status, errorCode(answer)]).toEqual([400, 'MANIFEST_INVALID'])
  expect((await ask(seed, 'HEAD', '/v2/team/app/manifests/ambiguous')).status).toBe(404)
}

const child = () => ({ mediaType: MEDIA_TYPE.ociManifest, digest: image.digest, size: image.manifest.length })
const body = () => JSON.parse(image.manifest.toString())

// CVE-2021-41190, GHSA-mc8v-mgrf-8f4m, GHSA-qq97-vm5h-rrhg: an image for one reader, an index for another.
test('a manifest that is image and index at once is refused', async () => {
  await expectRefused(JSON.stringify({ ...body(), manifests: [child()] }))
  await expectRefused(JSON.stringify({ ...body(), manifests: null }))
  const { mediaType: _, ...untyped } = body()
  for (const type of [MEDIA_TYPE.ociManifest, MEDIA_TYPE.ociIndex]) {
    await expectRefused(JSON.stringify({ ...untyped, manifests: [] }), { 'Content-Type': type })
  }
})

test('a manifest of another type than it came as is refused', async () => {
  for (const type of [MEDIA_TYPE.ociIndex, MEDIA_TYPE.dockerManifest, 'application/json', 'text/plain', '']) {
    await expectRefused(image.manifest, { 'Content-Type': type })
  }
  await expectRefused(JSON.stringify({ ...body(), mediaType: MEDIA_TYPE.ociIndex }), {
    'Content-Type': MEDIA_TYPE.ociIndex
  })
})

test('a key that is there twice is refused, however it is written', async () => {
  const text = image.manifest.toString()
  const again = (key: string) => `${text.slice(0, -1)},${key}:[]}`
  await expectRefused(again('"layers"'))
  await expectRefused(again('"l\\u0061yers"'))
  await expectRefused(text.replace('"digest"', '"digest":"sha256:0","digest"'))
})

test('a key that another reader takes for a known one is refused', async () => {
  for (const key of ['Layers', 'LAYERS', 'Manifests', 'mediatype', 'SchemaVersion']) {
    await expectRefused(JSON.stringify({ ...body(), [key]: [] }))
  }
})

test('what is no plain JSON is refused: byte order marks, other encodings, depth, prototypes in place of fields', async () => {
  await expectRefused(Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), image.manifest]))
  await expectRefused(Buffer.from(image.manifest.toString(), 'utf16le'))
  await expectRefused(Buffer.concat([image.manifest, Buffer.from([0xff])]))
  await expectRefused(`${image.manifest}${image.manifest}`)
  await expectRefused('['.repeat(4 * 1024 * 1024))
  await expectRefused('{"a":'.repeat(100_000))
  const { config, ...without } = body()
  await expectRefused(JSON.stringify({ ...without, ['__proto__']: { config } }))
  await expectRefused(`{"__proto__":${image.manifest}}`)
})

test('sizes that no reader agrees on are refused', async () => {
  for (const size of ['9007199254740993', '1e30', '-1', '1.5', '"5"', 'null', '18446744073709551616']) {
    await expectRefused(image.manifest.toString().replace(/"size":5/, `"size":${size}`))
  }
})

import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, digestAlgorithm, digestHex, digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { expect, test } from 'vitest'
import { eventually, HANG_MS, request } from '../support/http.ts'
import { noise } from '../support/images/noise.ts'
import { LAYERMESH, MeshNode } from '../support/node.ts'
import { run } from '../support/process.ts'
import { pushImage } from '../support/registry-client.ts'
import { describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'
import { Upstream } from '../support/upstream/upstream.ts'

const LAYER_BYTES = Buffer.concat([...noise('verify', 5 * 1024 * 1024)])
const DIGEST = digestOf(LAYER_BYTES)
const LAYER = { mediaType: MEDIA_TYPE.ociLayerGzip, digest: DIGEST, size: LAYER_BYTES.length }

const sandbox = useSandbox()

/** Flips bits where a node has a blob. */
async function damage(node: MeshNode, digest: Digest, ...positions: number[]): Promise<void> {
  const hex = digestHex(digest)
  const path = join(node.dataDirectory, 'content', 'blobs', digestAlgorithm(digest), hex.slice(0, 2), hex)
  const file = await open(path, 'r+')
  for (const position of positions) {
    const bytes = new Uint8Array(1)
    await file.read(bytes, 0, 1, position)
    await file.write(new Uint8Array([(bytes[0] ?? 0) ^ 1]), 0, 1, position)
  }
  await file.close()
}

const verify = (node: MeshNode, ...args: string[]) => run(LAYERMESH, ['verify', ...args, '--data', node.dataDirectory])

async function blobOf(node: MeshNode): Promise<{ status: number; whole: boolean }> {
  const { status, body } = await request(`${node.registryUrl}/v2/team/app/blobs/${DIGEST}`)
  return { status, whole: Buffer.compare(body, LAYER_BYTES) === 0 }
}

test('a node finds what its disk lost, takes it from the mesh, and fails when nobody has it', async () => {
  const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  const node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed })
  await pushImage(seed.registryUrl, 'team/app', '1', LAYER, [LAYER_BYTES])
  expect((await run(LAYERMESH, ['pull', 'team/app:1', '--data', node.dataDirectory])).code).toBe(0)
  expect(await verify(node)).toMatchObject({ code: 0, stdout: expect.stringContaining('all as they were stored') })

  await damage(node, DIGEST, 10, 3 * 1024 * 1024)
  const received = await node.receivedFromPeers()
  const repaired = await verify(node)
  expect(repaired).toMatchObject({ code: 0, stdout: expect.stringContaining('2 bad pieces; fetched anew') })
  expect((await node.receivedFromPeers()) - received).toBe(2 * 1024 * 1024)
  expect(await verify(node)).toMatchObject({ code: 0, stdout: expect.stringContaining('all as they were stored') })
  expect(await blobOf(node)).toEqual({ status: 200, whole: true })
  expect(await node.metric('layermesh_store_bad_blobs_total', { result: 'repaired' })).toBe(1)

  await node.stop()
  await damage(seed, DIGEST, 0)
  const lost = await verify(seed, '--json')
  expect(lost.code).toBe(1)
  const events = lost.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(events.at(-1)).toMatchObject({ type: 'done', result: { lost: 1, repaired: 0 } })
  expect(events).toContainEqual({
    type: 'progress',
    progress: {
      bad: expect.objectContaining({ digest: DIGEST, state: 'lost', reason: 'nobody has it', repository: 'team/app' })
    }
  })

  await node.restart()
  await eventually('the seed gets it back from the node', HANG_MS, async () => {
    const { status, whole } = await blobOf(seed).catch(() => ({ status: 0, whole: false }))
    return (status === 200 && whole) || undefined
  })
})

describeWith(['docker-registry', 'skopeo'], 'with a registry that it mirrors', () => {
  test('a node takes what its disk lost from there, layers and manifests', async () => {
    const upstream = await Upstream.start(sandbox, { name: 'hub' })
    const image = await upstream.push('library/app:1', { noiseBytes: 3 * 1024 * 1024 })
    const registries = { 'docker.io': upstream.settings() }
    const seed = await MeshNode.start(sandbox, {
      name: 'mirror',
      role: 'seed',
      settings: { upstreams: { registries } }
    })
    const pulled = await run(LAYERMESH, ['pull', 'docker.io/library/app:1', '--data', seed.dataDirectory])
    expect(pulled.code, pulled.stderr).toBe(0)
    await damage(seed, image.noiseLayer.digest as Digest, 10)
    await damage(seed, image.index.digest as Digest, 10)
    const verified = await verify(seed)
    expect(verified, verified.stderr).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('2 were bad and were fetched anew')
    })
    expect(upstream.proxy.traffic.requests({ wanted: 'blob', reference: image.noiseLayer.digest, method: 'GET' })).toBe(
      2
    )
  })
})

test('a node finds it by itself on schedule', async () => {
  const settings = { store: { verify: { every: '1s' } } }
  const seed = await MeshNode.start(sandbox, { name: 'scheduled', role: 'seed', settings })
  await pushImage(seed.registryUrl, 'team/app', '1', LAYER, [LAYER_BYTES])
  await damage(seed, DIGEST, 100)
  await seed.process.waitForLine(/could not be fetched anew/, HANG_MS)
})

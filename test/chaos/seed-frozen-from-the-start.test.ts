import { MEDIA_TYPE } from '@layermesh/oci'
import { expect, test } from 'vitest'
import { HANG_MS, request, within } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { KnownBlob, MIB } from './support/known-blob.ts'

const sandbox = useSandbox()

test('a pull ends by another node that has the image when the seed was frozen before it began', async () => {
  const blob = new KnownBlob('seed-frozen', 32 * MIB)
  const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  await blob.push(seed)
  const holder = await MeshNode.start(sandbox, { name: 'holder', join: [seed], seed })
  expect(await statusOfManifest(holder, blob)).toBe(200)
  expect(await blob.pull(holder).end).toMatchObject({ status: 200, whole: true })
  const before = await MeshNode.start(sandbox, { name: 'joined-before', join: [seed, holder], seed })

  seed.process.signal('SIGSTOP')
  const after = await MeshNode.start(sandbox, { name: 'joined-after', join: [seed, holder], seed })
  for (const node of [before, after]) {
    expect(await within(HANG_MS, statusOfManifest(node, blob)), node.name).toBe(200)
    expect(await within(HANG_MS, blob.pull(node).end), node.name).toMatchObject({ status: 200, whole: true })
    expect(await node.receivedFromPeers(), node.name).toBeGreaterThanOrEqual(blob.size)
  }

  // Nobody holds it against the seed for good.
  seed.process.signal('SIGCONT')
  const next = new KnownBlob('seed-thawed', MIB)
  await next.push(seed)
  expect(await next.pull(seed).end).toMatchObject({ status: 200, whole: true })
})

/** Asks for what the tag means, as a client does first. */
async function statusOfManifest(node: MeshNode, { repository }: KnownBlob): Promise<number> {
  const headers = { Accept: MEDIA_TYPE.ociManifest }
  return (await request(`${node.registryUrl}/v2/${repository}/manifests/1`, { headers })).status
}

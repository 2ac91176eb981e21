import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ContentStore, openContentStore } from '@layermesh/content'
import { digestOf, ownRepository } from '@layermesh/oci'
import { expect, it, onTestFinished } from 'vitest'
import { MeshBlobs, type MeshBlobsComponents } from './blobs.ts'

const [APP, OTHER] = [ownRepository('team/app'), ownRepository('team/other')]
const [LEASE_MS, GRACE_MS] = [1_000, 10_000]
const BYTES = Buffer.from('a layer')
const LAYER = digestOf(BYTES)
const MANIFEST = digestOf(Buffer.from('a manifest'))
const { signal } = new AbortController()

/** The blobs of a seed over a store with a clock; the layer is in both repositories, and a manifest of the other names it. */
async function open() {
  const directory = await mkdtemp(join(tmpdir(), 'layermesh-blobs-'))
  const clock = { now: 1_000_000 }
  const content = await openContentStore(directory, {
    leaseMs: LEASE_MS,
    garbageGraceMs: GRACE_MS,
    now: () => clock.now,
    retains: () => true
  })
  onTestFinished(async () => {
    await content.close()
    await rm(directory, { recursive: true, force: true })
  })
  await content.blobs.put(LAYER, BYTES)
  await content.repositories.linkBlobs(APP, [LAYER])
  await content.repositories.putManifest(OTHER, { digest: MANIFEST, mediaType: 'm', size: 10 }, [LAYER])
  clock.now += GRACE_MS
  return { content, clock }
}

function blobsOf(content: ContentStore, onLook: () => Promise<unknown> = async () => {}): MeshBlobs {
  const { repositories } = content
  let looked = false
  const hasBlob: typeof repositories.hasBlob = async (repository, digest) => {
    const found = await repositories.hasBlob(repository, digest)
    if (!looked) {
      looked = true
      await onLook()
    }
    return found
  }
  const watched = new Proxy(repositories, {
    get: (target, name) => (name === 'hasBlob' ? hasBlob : Reflect.get(target, name).bind(target))
  })
  const components = {
    content: { ...content, repositories: watched },
    fetch: async () => undefined,
    fetchForReading: async () => undefined,
    router: { isSoleAuthority: () => true },
    onPull: () => {}
  }
  return new MeshBlobs(components as unknown as MeshBlobsComponents)
}

it('say of nothing that it is here whose link is collected at that moment: a push would rest on it', async () => {
  const { content } = await open()
  const blobs = blobsOf(content, () => content.collectGarbage())
  expect(await blobs.stat(APP, LAYER, signal)).toBeUndefined()
  expect(await content.repositories.hasBlob(APP, LAYER)).toBe(false)
})

it('have what they told of stay linked for a lease, also while garbage is collected', async () => {
  const { content, clock } = await open()
  expect(await blobsOf(content).stat(APP, LAYER, signal)).toBe(BYTES.byteLength)
  clock.now += LEASE_MS - 1
  await content.collectGarbage()
  expect(await content.repositories.hasBlob(APP, LAYER)).toBe(true)
})

it('lease nothing for whoever asks for what is not there', async () => {
  const { content } = await open()
  const renewed: unknown[] = []
  const leases = { ...content.leases, renew: async (digests: readonly unknown[]) => void renewed.push(...digests) }
  const blobs = blobsOf({ ...content, leases })
  expect(await blobs.stat(APP, MANIFEST, signal)).toBeUndefined()
  expect(renewed).toEqual([])
})

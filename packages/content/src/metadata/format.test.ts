import { createHash } from 'node:crypto'
import { type Digest, digestOf } from '@layermesh/oci'
import { expect, it } from 'vitest'
import { createLayout } from '../disk/layout.ts'
import { APP, cachedStore, GRACE_MS, isHere, KIB, MANIFEST_TYPE, OTHER, push } from '../testing/cached.ts'
import { openStore, temporaryDirectory } from '../testing/stores.ts'
import { createDatabase, Metadata } from './metadata.ts'
import { createTables, type ManifestRow } from './tables.ts'

const EMPTY = `sha256:${createHash('sha256').update('{}').digest('hex')}`

/** Makes the store what it was in the first format: manifests did not note what they name. */
async function makeOld(directory: string, format = 'layermesh content 1'): Promise<void> {
  const metadata = await Metadata.open(createDatabase(createLayout(directory).metadata))
  const tables = createTables(metadata)
  const changes = [tables.store.put(['format'], format)]
  for await (const [[repository, name, manifest]] of tables.namedBy.range([]))
    changes.push(tables.namedBy.del([repository, name, manifest] as [typeof APP, Digest, Digest]))
  for await (const [[repository, digest], row] of tables.manifests.range([])) {
    const { names: _names, ...old } = row
    changes.push(tables.manifests.put([repository, digest] as [typeof APP, Digest], old as ManifestRow))
  }
  await metadata.write(changes)
  await metadata.close()
}

function manifestOf(layers: readonly Digest[]): Uint8Array {
  const descriptor = (digest: string, size: number) => ({ mediaType: 'application/octet-stream', digest, size })
  const layerDescriptors = layers.map((digest) => descriptor(digest, 10 * KIB))
  const config = descriptor(EMPTY, 2)
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST_TYPE, config, layers: layerDescriptors }))
}

it('a store of the first format notes what its manifests name, and where that can not be known removes nothing', async () => {
  const { store, clock, directory } = await cachedStore()
  const layers: Digest[] = []
  for (const [repository, seed] of [
    [APP, 1],
    [OTHER, 2]
  ] as const) {
    const layer = await push(store, repository, 10 * KIB, seed)
    layers.push(layer)
    const bytes = manifestOf([layer])
    const digest = digestOf(bytes)
    await store.blobs.put(digest, bytes)
    const entry = { digest, mediaType: MANIFEST_TYPE, size: bytes.byteLength }
    await store.repositories.putManifest(repository, entry, [digest, layer])
    if (repository === OTHER) await store.blobs.delete(digest)
    await push(store, repository, 10 * KIB, 10 + seed)
  }
  await store.close()
  await makeOld(directory)
  const options = { leaseMs: 1, garbageGraceMs: GRACE_MS, now: () => clock.now }
  const again = await openStore(options, directory)
  clock.now += GRACE_MS
  expect(await again.collectGarbage()).toMatchObject({ unlinked: 1, blobs: 1 })
  for (const layer of layers) expect(await isHere(again, layer)).toBe(true)
})

it('a store of a later format is not opened', async () => {
  const directory = await temporaryDirectory()
  const { store } = await cachedStore({}, directory)
  await store.close()
  await makeOld(directory, 'layermesh content 3')
  await expect(openStore({}, directory)).rejects.toMatchObject({ code: 'STORE_FORMAT' })
})

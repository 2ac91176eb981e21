import { type Digest, digestOf, ownRepository, type Repository } from '@layermesh/oci'
import type { ContentStore, Removal } from '../interfaces.ts'
import type { ContentStoreOptions } from '../options.ts'
import { bytesOf, chunksOf } from './bytes.ts'
import { createFaultyFileSystem } from './faulty-file-system.ts'
import { sourceOf } from './sources.ts'
import { openStore, temporaryDirectory } from './stores.ts'

export const KIB = 1024
export const APP = ownRepository('team/app')
export const OTHER = ownRepository('team/other')
export const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'
export const LEASE_MS = 1_000
export const GRACE_MS = 10_000

/** A store with a clock that stands still, leases of a second and a grace of ten, whose disk a test can fill. */
export async function cachedStore(options: Partial<ContentStoreOptions> = {}, place?: string) {
  const clock = { now: 1_000_000 }
  const disk = createFaultyFileSystem()
  const removed: Removal[] = []
  const full: boolean[] = []
  const directory = place ?? (await temporaryDirectory())
  const store = await openStore(
    {
      leaseMs: LEASE_MS,
      garbageGraceMs: GRACE_MS,
      partialIdleMs: 2 * GRACE_MS,
      minFree: { bytes: 0 },
      fileSystem: disk,
      now: () => clock.now,
      onRemoved: (removal) => removed.push(removal),
      onFull: (space) => full.push(space.full),
      ...options
    },
    directory
  )
  return { store, clock, disk, removed, full, directory }
}

/** Downloads a blob of this length, as from a peer. */
export async function bring(store: ContentStore, length: number, seed: number): Promise<Digest> {
  const bytes = bytesOf(length, seed)
  const digest = digestOf(bytes)
  await store.downloads.fetch(digest, sourceOf(bytes))
  await store.downloads.whole(digest)
  return digest
}

/** Pushes a blob as a client does. */
export async function push(store: ContentStore, repository: Repository, length: number, seed: number): Promise<Digest> {
  const bytes = bytesOf(length, seed)
  const upload = await store.uploads.create(repository)
  await upload.append(chunksOf(bytes))
  await upload.commit(digestOf(bytes))
  return digestOf(bytes)
}

/** Puts a manifest that names these; it is no real one, as the store never reads them. */
export async function putManifest(
  store: ContentStore,
  repository: Repository,
  blobs: readonly Digest[],
  seed: number
): Promise<Digest> {
  const bytes = bytesOf(100, seed)
  const digest = digestOf(bytes)
  await store.blobs.put(digest, bytes)
  await store.repositories.putManifest(repository, { digest, mediaType: MANIFEST_TYPE, size: 100 }, [digest, ...blobs])
  return digest
}

export async function isHere(store: ContentStore, digest: Digest): Promise<boolean> {
  return (await store.blobs.stat(digest)) !== undefined
}

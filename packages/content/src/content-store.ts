import fileSystem from 'node:fs/promises'
import { BlobCatalog } from './blobs/blob-catalog.ts'
import { Blobs } from './blobs/blobs.ts'
import { Evictor } from './cache/evictor.ts'
import { GarbageCollector } from './cache/garbage-collector.ts'
import { Guards } from './cache/guards.ts'
import { Upkeep } from './cache/upkeep.ts'
import { Uses } from './cache/uses.ts'
import { Files } from './disk/files.ts'
import { FreeSpace } from './disk/free-space.ts'
import { createLayout, type Layout } from './disk/layout.ts'
import { RunningDownloads } from './downloads/downloads.ts'
import { PartialRows } from './downloads/partial-rows.ts'
import { PartialStore } from './downloads/partial-store.ts'
import { HashPool } from './hashing/hash-pool.ts'
import type { ContentStore } from './interfaces.ts'
import { KeyedLock } from './keyed-lock.ts'
import { openFormat } from './metadata/format.ts'
import { createDatabase, Metadata } from './metadata/metadata.ts'
import { StoredNotices } from './metadata/notices.ts'
import { StoredPieceMaps } from './metadata/piece-maps.ts'
import { StoredPins } from './metadata/pins.ts'
import { StoredRepositories } from './metadata/repositories.ts'
import { createTables } from './metadata/tables.ts'
import { StoredTags } from './metadata/tags.ts'
import { type ContentStoreOptions, DEFAULT_OPTIONS } from './options.ts'
import { recover } from './recovery.ts'
import type { SharedBlobs, SharedBlobsComponents } from './shared/shared-blobs.ts'
import { UploadSessions } from './uploads/uploads.ts'

/** What LevelDB may write while it opens: what is in its log as a table, at most its write buffer of 4 MiB, and a few small files. */
const METADATA_ROOM_BYTES = 8 * 1024 * 1024

/**
 * Opens the content store in a directory, which is made when it isn't there, and recovers it from whatever a crash
 * left. One process at a time may have it open.
 * @throws {ContentError} STORE_IN_USE, STORE_FORMAT, DISK_FULL
 */
export async function openContentStore(
  directory: string,
  options: Partial<ContentStoreOptions> = {}
): Promise<ContentStore> {
  const settings: ContentStoreOptions = { fileSystem, ...DEFAULT_OPTIONS, ...options }
  const layout = createLayout(directory)
  const files = new Files(settings.fileSystem)
  await makeDirectories(files, layout)
  const hasRoom = async () => (await files.diskSpace(directory)).freeBytes >= METADATA_ROOM_BYTES
  const metadata = await Metadata.open(createDatabase(layout.metadata), { hasRoom })
  const pool = new HashPool({ threads: settings.hashThreads, idleMs: settings.hashThreadIdleMs })
  const letGo = async () => {
    await files.close()
    await pool.close()
    await metadata.close()
  }
  try {
    return await assemble({ files, layout, metadata, pool, letGo }, settings, directory)
  } catch (error) {
    await letGo()
    throw error
  }
}

interface Foundation {
  readonly files: Files
  readonly layout: Layout
  readonly metadata: Metadata
  readonly pool: HashPool
  readonly letGo: () => Promise<void>
}

async function assemble(
  { letGo, ...foundation }: Foundation,
  settings: ContentStoreOptions,
  directory: string
): Promise<ContentStore> {
  const { files, metadata } = foundation
  const { onCorrupt, onFull, onScarce, now } = settings
  const tables = createTables(metadata)
  const rows = new PartialRows(tables)
  const lock = new KeyedLock()
  const guards = new Guards(now, settings)
  const space: FreeSpace = new FreeSpace(
    {
      disk: () => files.diskSpace(directory),
      usedBytes: () => catalog.bytes + partials.promisedBytes + uploads.bytes,
      evict: (reason, enough, onFreed) => evictor.run(reason, enough, onFreed),
      now,
      onFull,
      onScarce
    },
    settings
  )
  const shared = { ...foundation, tables, rows, lock, guards, onCorrupt, onRemoved: settings.onRemoved, now }

  await openFormat(metadata, tables, shared)
  await recover(shared)

  const partials: PartialStore = new PartialStore({ ...shared, space: space.promised }, settings)
  const catalog: BlobCatalog = new BlobCatalog({ ...shared, partials }, settings)
  const downloads = new RunningDownloads({ ...shared, catalog, partials }, settings)
  const uploads: UploadSessions = new UploadSessions({ ...shared, catalog, space }, settings)
  const pins = new StoredPins(shared)
  const uses = new Uses(shared)
  const { retains } = settings
  const evictor: Evictor = new Evictor({ ...shared, catalog, partials, pins, uses, retains }, settings)
  const repositories = new StoredRepositories({ ...shared, pins })
  const tags = new StoredTags(shared, settings)
  const { mayForgetTag } = settings
  const garbage = new GarbageCollector(
    { ...shared, catalog, pins, uses, repositories, tags, retains, mayForgetTag },
    settings
  )
  await Promise.all([partials.load(), catalog.load(), uploads.load(), pins.load()])
  const sharedBlobs =
    settings.containerd === undefined ? undefined : await openShared(shared, settings.containerd, settings)
  const upkeep = new Upkeep({ uses, space, onError: settings.onUpkeepFailed }, settings)

  return {
    blobs: new Blobs({ ...shared, catalog, partials, downloads, space }),
    downloads,
    uploads,
    repositories,
    tags,
    pieceMaps: new StoredPieceMaps(shared),
    notices: new StoredNotices(shared),
    leases: {
      hold: (digests) => guards.hold(digests),
      renew: async (digests) => void (await Promise.all(digests.map((digest) => guards.renew(digest))))
    },
    pins,
    shared: sharedBlobs,
    space: () => space.report(),
    collectGarbage: (options) => garbage.run(options),
    close: once(async () => {
      await Promise.all([downloads.close(), uploads.close(), garbage.close(), sharedBlobs?.close()])
      await upkeep.close()
      await letGo()
    })
  }
}

/** Loaded only where it is used. */
async function openShared(
  components: SharedBlobsComponents,
  directory: string,
  { containerdPatienceMs: patienceMs }: ContentStoreOptions
): Promise<SharedBlobs> {
  const { SharedBlobs: Shared } = await import('./shared/shared-blobs.ts')
  return new Shared(components, directory, { patienceMs })
}

async function makeDirectories(files: Files, { directories: [root, ...others] }: Layout): Promise<void> {
  if (root !== undefined) await files.makeRoot(root)
  for (const directory of others) await files.makeDirectory(directory)
}

function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined
  return () => {
    done ??= work()
    return done
  }
}

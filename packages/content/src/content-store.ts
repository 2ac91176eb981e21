import fileSystem from 'node:fs/promises'
import { BlobCatalog } from './blobs/blob-catalog.ts'
import { Blobs } from './blobs/blobs.ts'
import { Files } from './disk/files.ts'
import { FreeSpace } from './disk/free-space.ts'
import { createLayout, type Layout } from './disk/layout.ts'
import { RunningDownloads } from './downloads/downloads.ts'
import { PartialRows } from './downloads/partial-rows.ts'
import { PartialStore } from './downloads/partial-store.ts'
import { ContentError } from './errors.ts'
import { HashPool } from './hashing/hash-pool.ts'
import type { ContentStore } from './interfaces.ts'
import { KeyedLock } from './keyed-lock.ts'
import { createDatabase, Metadata } from './metadata/metadata.ts'
import { StoredNotices } from './metadata/notices.ts'
import { StoredPieceMaps } from './metadata/piece-maps.ts'
import { StoredRepositories } from './metadata/repositories.ts'
import { createTables, type Tables } from './metadata/tables.ts'
import { StoredTags } from './metadata/tags.ts'
import { type ContentStoreOptions, DEFAULT_OPTIONS } from './options.ts'
import { recover } from './recovery.ts'
import { UploadSessions } from './uploads/uploads.ts'

const FORMAT = 'layermesh content 1'
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
  const hasRoom = async () => (await files.freeBytes(directory)) >= METADATA_ROOM_BYTES
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
  const { onCorrupt, now } = settings
  const tables = createTables(metadata)
  const rows = new PartialRows(tables)
  const lock = new KeyedLock()
  const space = new FreeSpace({ freeBytes: () => files.freeBytes(directory), now }, settings.minFreeBytes)
  const shared = { ...foundation, tables, rows, lock, space, onCorrupt, now }

  await checkFormat(metadata, tables)
  await recover(shared)

  const partials = new PartialStore(shared, settings)
  const catalog = new BlobCatalog({ ...shared, partials }, settings)
  const downloads = new RunningDownloads({ ...shared, catalog, partials }, settings)
  const uploads = new UploadSessions({ ...shared, catalog }, settings)
  await Promise.all([partials.load(), catalog.load(), uploads.load()])

  return {
    blobs: new Blobs({ ...shared, catalog, partials, downloads }),
    downloads,
    uploads,
    repositories: new StoredRepositories(shared),
    tags: new StoredTags(shared, settings),
    pieceMaps: new StoredPieceMaps(shared),
    notices: new StoredNotices(shared),
    close: once(async () => {
      await Promise.all([downloads.close(), uploads.close()])
      await letGo()
    })
  }
}

async function makeDirectories(files: Files, { directories: [root, ...others] }: Layout): Promise<void> {
  if (root !== undefined) await files.makeRoot(root)
  for (const directory of others) await files.makeDirectory(directory)
}

async function checkFormat(metadata: Metadata, tables: Tables): Promise<void> {
  const format = await tables.store.get('format')
  if (format === undefined) return metadata.write([tables.store.put(['format'], FORMAT)])
  if (format !== FORMAT) throw new ContentError('STORE_FORMAT', `this is a store of the format '${format}'`)
}

function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined
  return () => {
    done ??= work()
    return done
  }
}

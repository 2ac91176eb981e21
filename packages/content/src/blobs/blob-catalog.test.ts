import { stat, writeFile } from 'node:fs/promises'
import { digestOf } from '@layermesh/oci'
import { expect, it, onTestFinished } from 'vitest'
import { Guards } from '../cache/guards.ts'
import { Files } from '../disk/files.ts'
import { createLayout } from '../disk/layout.ts'
import { PartialRows } from '../downloads/partial-rows.ts'
import { PartialStore } from '../downloads/partial-store.ts'
import { HashPool } from '../hashing/hash-pool.ts'
import { PieceChecks } from '../hashing/piece-checks.ts'
import { KeyedLock } from '../keyed-lock.ts'
import { Metadata } from '../metadata/metadata.ts'
import { createTables } from '../metadata/tables.ts'
import { bytesOf, MIB } from '../testing/bytes.ts'
import { databaseOnFullDisk } from '../testing/database-on-full-disk.ts'
import { ENDLESS_SPACE } from '../testing/endless-space.ts'
import { createFaultyFileSystem } from '../testing/faulty-file-system.ts'
import { temporaryDirectory } from '../testing/stores.ts'
import { BlobCatalog } from './blob-catalog.ts'

const BYTES = bytesOf(1000)
const DIGEST = digestOf(BYTES)

/** A catalog with one blob, whose disk others can fill, and where the next file that goes makes room. */
async function setUp() {
  const layout = createLayout(await temporaryDirectory())
  const fileSystem = createFaultyFileSystem()
  const { faulty, disk } = databaseOnFullDisk(layout.directories[0] ?? '')
  const { unlink } = fileSystem
  fileSystem.unlink = async (path) => {
    await unlink(path)
    disk.full = false
  }
  const files = new Files(fileSystem)
  for (const directory of layout.directories) await files.makeRoot(directory)
  const metadata = await Metadata.open(faulty, disk)
  const pool = new HashPool({ threads: 1, idleMs: 60_000 })
  onTestFinished(async () => {
    await files.close()
    await pool.close()
    await metadata.close()
  })
  const clock = { now: 0 }
  const now = () => clock.now
  const tables = createTables(metadata)
  const rows = new PartialRows(tables)
  const guards = new Guards(now, { leaseMs: 10, maxLeases: 10 })
  const shared = {
    metadata,
    tables,
    rows,
    files,
    layout,
    pool,
    lock: new KeyedLock(),
    guards,
    now,
    onCorrupt: () => {}
  }
  const options = { maxBlobBytes: MIB, flushBytes: MIB, flushMs: 1000, maxOpenBlobs: 1, maxChecksBytes: 1000 }
  const partials = new PartialStore({ ...shared, space: ENDLESS_SPACE }, options)
  const catalog = new BlobCatalog({ ...shared, partials }, options)
  const path = layout.newTemporaryFile()
  await writeFile(path, BYTES)
  const checks = new PieceChecks(new Uint8Array(32))
  await catalog.commit({ digest: DIGEST, size: BYTES.length, path, checks, changes: [] })
  clock.now += 10
  return { catalog, disk, lock: shared.lock, clock, file: layout.blobFile('blobs', DIGEST) }
}

it('removes the bytes first on a disk that is too full for the note that they are gone', async () => {
  const { catalog, disk, file } = await setUp()
  disk.full = true
  expect(await catalog.removeUnneeded(DIGEST, async () => true)).toEqual({ bytes: 1000, whole: true })
  await expect(stat(file)).rejects.toThrow('ENOENT')
  expect(await catalog.stat(DIGEST)).toBeUndefined()
  expect(catalog.bytes).toBe(0)
})

it('removes nothing that somebody works on, without waiting for them', async () => {
  const { catalog, lock } = await setUp()
  const working = Promise.withResolvers<void>()
  const work = lock.run(DIGEST, () => working.promise)
  expect(await catalog.removeUnneeded(DIGEST, async () => true)).toBeUndefined()
  working.resolve()
  await work
  expect(await catalog.removeUnneeded(DIGEST, async () => false)).toBeUndefined()
  expect(await catalog.removeUnneeded(DIGEST, async () => true)).toBeDefined()
})

it('has what is committed while it is removed come after the removal', async () => {
  const { catalog, clock, file } = await setUp()
  clock.now += 10
  const asked = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<boolean>()
  const removing = catalog.removeUnneeded(DIGEST, () => {
    asked.resolve()
    return answer.promise
  })
  await asked.promise
  await writeFile(`${file}.new`, BYTES)
  const checks = new PieceChecks(new Uint8Array(32))
  const committing = catalog.commit({ digest: DIGEST, size: 1000, path: `${file}.new`, checks, changes: [] })
  answer.resolve(true)
  expect(await removing).toBeDefined()
  await committing
  expect(await catalog.stat(DIGEST)).toEqual({ digest: DIGEST, size: 1000 })
  expect((await stat(file)).size).toBe(1000)
  expect(catalog.bytes).toBe(1000)
})

import { digestOf } from '@layermesh/oci'
import { expect, it, onTestFinished } from 'vitest'
import { Files } from '../disk/files.ts'
import { createLayout } from '../disk/layout.ts'
import { HashPool } from '../hashing/hash-pool.ts'
import { KeyedLock } from '../keyed-lock.ts'
import { Metadata } from '../metadata/metadata.ts'
import { createTables } from '../metadata/tables.ts'
import { bytesOf, MIB, pieceOf } from '../testing/bytes.ts'
import { databaseOnFullDisk } from '../testing/database-on-full-disk.ts'
import { ENDLESS_SPACE } from '../testing/endless-space.ts'
import { createFaultyFileSystem } from '../testing/faulty-file-system.ts'
import { temporaryDirectory } from '../testing/stores.ts'
import { PartialRows } from './partial-rows.ts'
import { PartialStore } from './partial-store.ts'
import { PieceWaiters } from './piece-waiters.ts'

const BYTES = bytesOf(3 * MIB + 10)
const DIGEST = digestOf(BYTES)
const BEGIN = { size: BYTES.byteLength, cutThrough: true }

/** A store whose metadata can run out of room, and a way to open the one download in it. */
async function setUp() {
  const layout = createLayout(await temporaryDirectory())
  const fileSystem = createFaultyFileSystem()
  const files = new Files(fileSystem)
  for (const directory of layout.directories) await files.makeRoot(directory)
  const { faulty, disk } = databaseOnFullDisk(layout.directories[0] ?? '')
  const metadata = await Metadata.open(faulty, disk)
  const pool = new HashPool({ threads: 1, idleMs: 60_000 })
  onTestFinished(async () => {
    await files.close()
    await pool.close()
    await metadata.close()
  })
  const rows = new PartialRows(createTables(metadata))
  const components = { metadata, rows, files, layout, pool, space: ENDLESS_SPACE, lock: new KeyedLock() }
  const options = { maxBlobBytes: 100 * MIB, flushBytes: 2 * MIB, flushMs: 1_000_000 }
  const store = new PartialStore(components, options)
  const open = () => store.open(DIGEST, BEGIN, new PieceWaiters(), new AbortController().signal)
  return { store, open, rows, disk, fileSystem }
}

it('pieces for which the metadata had no room are there for the next attempt, which claims them', async () => {
  const { store, open, rows, disk } = await setUp()
  const first = await open()
  disk.full = true
  for (const piece of [0, 1]) await first.write(piece, pieceOf(BYTES, piece))
  await store.close(first)
  expect(await rows.pieces(DIGEST)).toEqual(new Map())

  disk.full = false
  const second = await open()
  expect([0, 1, 2].map((piece) => second.has(piece))).toEqual([true, true, false])
  await store.close(second)
  expect([...(await rows.pieces(DIGEST)).keys()]).toEqual([0, 1])
})

it('pieces that may not be durable are not', async () => {
  const { store, open, disk, fileSystem } = await setUp()
  const first = await open()
  fileSystem.failSync = true
  for (const piece of [0, 1]) await first.write(piece, pieceOf(BYTES, piece))
  disk.full = true
  await store.close(first)
  disk.full = false
  const second = await open()
  expect([0, 1].map((piece) => second.has(piece))).toEqual([false, false])
  await store.close(second)
})

import { existsSync } from 'node:fs'
import { copyFile, cp, mkdir, readdir, rename, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { digestOf, ownRepository } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import { createLayout } from './disk/layout.ts'
import type { BlobSource, ContentStore } from './interfaces.ts'
import { createDatabase, Metadata } from './metadata/metadata.ts'
import { createTables, type Tables } from './metadata/tables.ts'
import type { Corruption } from './options.ts'
import { bytesOf, chunksOf, isSame, MIB, pieceOf } from './testing/bytes.ts'
import { sourceOf } from './testing/sources.ts'
import { blobPath, contentsOf, openStore, PATIENT, temporaryDirectory } from './testing/stores.ts'
import { createVolatileFileSystem } from './testing/volatile-file-system.ts'

const REPOSITORY = ownRepository('team/app')
const BYTES = bytesOf(2 * MIB + 50)
const DIGEST = digestOf(BYTES)

/** Changes the metadata of a closed store. */
async function editMetadata(directory: string, edit: (tables: Tables, metadata: Metadata) => Promise<void>) {
  const metadata = await Metadata.open(createDatabase(createLayout(directory).metadata))
  await edit(createTables(metadata), metadata)
  await metadata.close()
}

/** A directory with a closed store after `use`. */
async function storeAfter(use: (store: ContentStore) => Promise<unknown>): Promise<string> {
  const directory = await temporaryDirectory()
  const store = await openStore({}, directory)
  await use(store)
  await store.close()
  return directory
}

/** How many rows of a table the metadata of a store that is open would have after a crash at this moment. */
async function metadataRows(directory: string, table: string): Promise<number> {
  const copy = await temporaryDirectory()
  await cp(`${directory}/metadata`, `${copy}/metadata`, { recursive: true })
  let rows = 0
  await editMetadata(copy, async (_tables, metadata) => {
    for await (const _row of metadata.range({ gt: `${table}\0`, lt: `${table}\x01` })) rows++
  })
  return rows
}

const giveUpAfter =
  (pieces: number[]): BlobSource =>
  async (digest, begin, signal) => {
    await sourceOf(BYTES, { pieces })(digest, begin, signal)
    throw new Error('enough')
  }

async function downloadSome(store: ContentStore, pieces: number[]): Promise<void> {
  await store.downloads.fetch(DIGEST, giveUpAfter(pieces))
  await store.downloads.whole(DIGEST).catch(() => {})
}

describe('after a crash', () => {
  it('temporary files are dropped', async () => {
    const directory = await storeAfter(async () => {})
    await writeFile(`${directory}/temporary/00ff`, 'half')
    await openStore({}, directory)
    expect(await readdir(`${directory}/temporary`)).toEqual([])
  })

  it('what is no file is passed over, wherever it lies', async () => {
    const directory = await storeAfter((store) => store.blobs.put(DIGEST, BYTES))
    const places = ['temporary', 'uploads', 'blobs', dirname(blobPath('', DIGEST))]
    for (const place of places) {
      await mkdir(`${directory}/${place}/00ff`)
      await symlink('/nowhere', `${directory}/${place}/ff00`)
    }
    const store = await openStore({}, directory)
    expect(isSame(await contentsOf(store, DIGEST), BYTES)).toBe(true)
    for (const place of places) expect(await readdir(`${directory}/${place}`)).toContain('00ff')
  })

  it('a blob whose commit was cut off is taken in when it is sound', async () => {
    const directory = await storeAfter((store) => store.blobs.put(DIGEST, BYTES))
    await editMetadata(directory, (tables, metadata) =>
      metadata.write([tables.blobs.del([DIGEST]), tables.pieceHashes.del([DIGEST])])
    )
    const store = await openStore({}, directory)
    expect(await store.blobs.stat(DIGEST)).toEqual({ digest: DIGEST, size: BYTES.byteLength })
    expect(isSame(await contentsOf(store, DIGEST), BYTES)).toBe(true)
    expect(store.blobs.usedBytes()).toBe(BYTES.byteLength)
  })

  it.each(['sha256', 'sha512'] as const)(
    'a store that lost its metadata finds its %s blobs again',
    async (algorithm) => {
      const digest = digestOf(BYTES, algorithm)
      const directory = await storeAfter((store) => store.blobs.put(digest, BYTES))
      await rm(`${directory}/metadata`, { recursive: true })
      const store = await openStore({}, directory)
      expect(isSame(await contentsOf(store, digest), BYTES)).toBe(true)
    }
  )

  it('a file among the blobs that has another digest is removed', async () => {
    const directory = await storeAfter(async () => {})
    const path = blobPath(directory, DIGEST)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, BYTES.subarray(1))
    const store = await openStore({}, directory)
    expect(await store.blobs.open(DIGEST)).toBeUndefined()
    expect(existsSync(path)).toBe(false)
  })

  it('a file that is not ours is left alone', async () => {
    const directory = await storeAfter((store) => store.blobs.put(DIGEST, BYTES))
    await writeFile(`${dirname(blobPath(directory, DIGEST))}/README`, 'mine')
    await writeFile(`${directory}/blobs/sha256/README`, 'mine')
    const store = await openStore({}, directory)
    expect(store.blobs.count()).toBe(1)
    expect(existsSync(`${dirname(blobPath(directory, DIGEST))}/README`)).toBe(true)
  })

  it('a blob whose file is missing is not served, and this is told', async () => {
    const directory = await storeAfter((store) => store.blobs.put(DIGEST, BYTES))
    await rm(blobPath(directory, DIGEST))
    const corruptions: Corruption[] = []
    const store = await openStore({ onCorrupt: (corruption) => corruptions.push(corruption) }, directory)
    expect(await store.blobs.stat(DIGEST)).toBeUndefined()
    expect(store.blobs.usedBytes()).toBe(0)
    expect(corruptions).toEqual([{ digest: DIGEST, pieces: [] }])
  })

  it('a download that was about to become a blob needs no piece again', async () => {
    const directory = await storeAfter((store) => downloadSome(store, [0, 1, 2]))
    await mkdir(dirname(blobPath(directory, DIGEST)), { recursive: true })
    await rename(blobPath(directory, DIGEST, 'partial'), blobPath(directory, DIGEST))
    const store = await openStore({}, directory)
    expect(await store.blobs.stat(DIGEST)).toBeUndefined()
    const source = sourceOf(BYTES)
    await store.downloads.fetch(DIGEST, source)
    await store.downloads.whole(DIGEST)
    expect(source.brought).toEqual([])
    expect(isSame(await contentsOf(store, DIGEST), BYTES)).toBe(true)
  })

  it('a download whose blob is here meanwhile is dropped', async () => {
    const directory = await storeAfter((store) => downloadSome(store, [0]))
    await mkdir(dirname(blobPath(directory, DIGEST)), { recursive: true })
    await writeFile(blobPath(directory, DIGEST), BYTES)
    await editMetadata(directory, async (tables, metadata) => {
      const hashes = [0, 1, 2].map((piece) => Buffer.from(digestOf(pieceOf(BYTES, piece)).slice(7), 'hex'))
      await metadata.write([
        tables.blobs.put([DIGEST], { size: BYTES.byteLength }),
        tables.pieceHashes.put([DIGEST], Buffer.concat(hashes))
      ])
    })
    const store = await openStore({}, directory)
    expect(isSame(await contentsOf(store, DIGEST), BYTES)).toBe(true)
    expect(store.blobs.usedBytes()).toBe(BYTES.byteLength)
    expect(existsSync(blobPath(directory, DIGEST, 'partial'))).toBe(false)
  })

  it.each([
    ['whose file is missing', (path: string) => rm(path)],
    ['whose file is short', (path: string) => truncate(path, 10)]
  ])('a download %s begins anew', async (_, harm) => {
    const directory = await storeAfter((store) => downloadSome(store, [0, 1]))
    await harm(blobPath(directory, DIGEST, 'partial'))
    const store = await openStore({}, directory)
    const source = sourceOf(BYTES)
    await store.downloads.fetch(DIGEST, source)
    await store.downloads.whole(DIGEST)
    expect(source.brought).toEqual([0, 1, 2])
  })

  it('a file of a download of which nothing is known is removed', async () => {
    const directory = await storeAfter((store) => downloadSome(store, [0]))
    const stray = blobPath(directory, digestOf(bytesOf(1)), 'partial')
    await mkdir(dirname(stray), { recursive: true })
    await copyFile(blobPath(directory, DIGEST, 'partial'), stray)
    await openStore({}, directory)
    expect(existsSync(stray)).toBe(false)
    expect(existsSync(blobPath(directory, DIGEST, 'partial'))).toBe(true)
  })

  it('an upload is cut to its durable offset', async () => {
    let id = ''
    const directory = await storeAfter(async (store) => {
      const upload = await store.uploads.create(REPOSITORY)
      await upload.append(chunksOf(BYTES.subarray(0, 1000)))
      id = upload.id
    })
    await writeFile(`${directory}/uploads/${id}`, 'not acknowledged', { flag: 'a' })
    const store = await openStore({}, directory)
    const upload = await store.uploads.get(REPOSITORY, id)
    expect(upload?.offset).toBe(1000)
    expect((await stat(`${directory}/uploads/${id}`)).size).toBe(1000)
    const digest = digestOf(BYTES.subarray(0, 1000))
    expect(await upload?.commit(digest)).toEqual({ digest, size: 1000 })
    expect(isSame(await contentsOf(store, digest), BYTES.subarray(0, 1000))).toBe(true)
  })

  it('an upload that lost bytes is dropped, and so is a file without a session', async () => {
    let id = ''
    const directory = await storeAfter(async (store) => {
      const upload = await store.uploads.create(REPOSITORY)
      await upload.append(chunksOf(BYTES))
      id = upload.id
    })
    await truncate(`${directory}/uploads/${id}`, 999)
    await writeFile(`${directory}/uploads/0123`, 'stray')
    const store = await openStore({}, directory)
    expect(await store.uploads.get(REPOSITORY, id)).toBeUndefined()
    expect(await readdir(`${directory}/uploads`)).toEqual([])
  })
})

describe('when the power goes and the disk forgets what was not synced', () => {
  it('what was acknowledged is there', async () => {
    const directory = await temporaryDirectory()
    const fileSystem = createVolatileFileSystem()
    const store = await openStore({ fileSystem }, directory)
    const [put, pushed, fetched] = [bytesOf(5000, 1), bytesOf(MIB + 1, 2), BYTES]
    await store.blobs.put(digestOf(put), put)
    const upload = await store.uploads.create(REPOSITORY)
    await upload.append(chunksOf(pushed))
    await upload.commit(digestOf(pushed))
    const unfinished = await store.uploads.create(REPOSITORY)
    await unfinished.append(chunksOf(BYTES.subarray(0, MIB + 9)))
    await store.downloads.fetch(DIGEST, sourceOf(fetched))
    await store.downloads.whole(DIGEST)
    await fileSystem.cutPower()
    await store.close()

    const again = await openStore({}, directory)
    for (const bytes of [put, pushed, fetched])
      expect(isSame(await contentsOf(again, digestOf(bytes)), bytes)).toBe(true)
    const resumed = await again.uploads.get(REPOSITORY, unfinished.id)
    await resumed?.append(chunksOf(BYTES.subarray(MIB + 9)), { start: MIB + 9 })
    expect(await resumed?.commit(DIGEST)).toEqual({ digest: DIGEST, size: BYTES.byteLength })
  })

  it('no piece of a download is claimed that is not there', async () => {
    const directory = await temporaryDirectory()
    const fileSystem = createVolatileFileSystem()
    const bytes = bytesOf(12 * MIB, 3)
    const digest = digestOf(bytes)
    const store = await openStore({ fileSystem, flushBytes: 3 * MIB, flushMs: 1_000_000 }, directory)
    const written = Promise.withResolvers<void>()
    const stalling: BlobSource = async (_digest, begin) => {
      const blob = await begin({ size: bytes.byteLength, cutThrough: true })
      for (let piece = 0; piece < 8; piece++) await blob.write(piece, pieceOf(bytes, piece))
      written.resolve()
      return new Promise(() => {})
    }
    await store.downloads.fetch(digest, stalling)
    await written.promise
    await expect.poll(() => metadataRows(directory, 'partial-piece'), PATIENT).toBeGreaterThan(0)
    // What is claimed at one moment must be there if the power goes at any later one.
    const left = await temporaryDirectory()
    await cp(`${directory}/metadata`, `${left}/metadata`, { recursive: true })
    await fileSystem.cutPower()
    await cp(`${directory}/partial`, `${left}/partial`, { recursive: true })

    const again = await openStore({}, left)
    const claimed = again.blobs.usedBytes()
    const source = sourceOf(bytes)
    await again.downloads.fetch(digest, source)
    await again.downloads.whole(digest)
    expect(claimed).toBeGreaterThan(0)
    expect(source.brought.length * MIB).toBe(bytes.byteLength - claimed)
    expect(isSame(await contentsOf(again, digest), bytes)).toBe(true)
  })
})

import { readdir } from 'node:fs/promises'
import { digestOf, ownRepository } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import type { BlobSource, ContentStore } from '../interfaces.ts'
import { bytesOf, chunksOf, collect, MIB, pieceOf, whole } from '../testing/bytes.ts'
import { createFaultyFileSystem } from '../testing/faulty-file-system.ts'
import { ManualSource, sourceOf } from '../testing/sources.ts'
import { openStore, PATIENT, temporaryDirectory } from '../testing/stores.ts'

const REPOSITORY = ownRepository('team/app')
const BYTES = bytesOf(3 * MIB + 10)
const SIZE = BYTES.byteLength
const DIGEST = digestOf(BYTES)
const SMALL = bytesOf(1000, 7)

async function storeWithFaults() {
  const directory = await temporaryDirectory()
  const disk = createFaultyFileSystem()
  const store = await openStore({ fileSystem: disk }, directory)
  return { directory, disk, store }
}

async function expectWhole(store: ContentStore): Promise<void> {
  const reader = await store.blobs.open(DIGEST)
  if (reader === undefined) return expect.unreachable()
  expect(Buffer.compare(await collect(reader.read(whole(reader))), BYTES)).toBe(0)
}

describe('a full disk', () => {
  it('refuses a blob and keeps nothing of it, and takes it when there is space', async () => {
    const { directory, disk, store } = await storeWithFaults()
    disk.roomBytes = MIB
    await expect(store.blobs.put(DIGEST, BYTES)).rejects.toMatchObject({ code: 'DISK_FULL' })
    expect(await store.blobs.stat(DIGEST)).toBeUndefined()
    expect(await readdir(`${directory}/temporary`)).toEqual([])
    disk.roomBytes = Number.POSITIVE_INFINITY
    await store.blobs.put(DIGEST, BYTES)
    await expectWhole(store)
  })

  it('leaves an upload where it was, and it goes on when there is space', async () => {
    const { directory, disk, store } = await storeWithFaults()
    const upload = await store.uploads.create(REPOSITORY)
    await upload.append(chunksOf(BYTES.subarray(0, 1000)))
    disk.roomBytes = MIB + 5
    await expect(upload.append(chunksOf(BYTES.subarray(1000)))).rejects.toMatchObject({ code: 'DISK_FULL' })
    expect(upload.offset).toBe(1000)
    disk.roomBytes = Number.POSITIVE_INFINITY
    await store.close()
    const again = await openStore({}, directory)
    const resumed = await again.uploads.get(REPOSITORY, upload.id)
    await resumed?.append(chunksOf(BYTES.subarray(1000)), { start: 1000 })
    await resumed?.commit(DIGEST)
    await expectWhole(again)
  })

  it('fails a download with that cause, and its pieces are there for the next attempt', async () => {
    const { disk, store } = await storeWithFaults()
    disk.roomBytes = 2 * MIB + 5
    const reader = await store.downloads.fetch(DIGEST, sourceOf(BYTES))
    await expect(reader && collect(reader.read(whole(reader)))).rejects.toMatchObject({
      code: 'DOWNLOAD_FAILED',
      cause: { code: 'DISK_FULL' }
    })
    disk.roomBytes = Number.POSITIVE_INFINITY
    const source = sourceOf(BYTES)
    await store.downloads.fetch(DIGEST, source)
    await store.downloads.whole(DIGEST)
    expect(source.brought).toEqual([2, 3])
    await expectWhole(store)
  })

  it('is asked nothing more for once it was found full, however much was free a moment ago', async () => {
    const disk = createFaultyFileSystem()
    const store = await openStore({ fileSystem: disk, now: () => 0 })
    disk.roomBytes = MIB + 5
    const first = sourceOf(BYTES)
    await store.downloads.fetch(DIGEST, first)
    await expect(store.downloads.whole(DIGEST)).rejects.toMatchObject({ cause: { code: 'DISK_FULL' } })
    disk.freeBytes = 0
    const second = sourceOf(BYTES)
    await expect(store.downloads.fetch(DIGEST, second)).rejects.toMatchObject({ cause: { code: 'DISK_FULL' } })
    expect(second.brought).toEqual([])
  })

  it('still serves what is here', async () => {
    const { disk, store } = await storeWithFaults()
    await store.blobs.put(DIGEST, BYTES)
    disk.roomBytes = 0
    disk.freeBytes = 0
    await expectWhole(store)
    expect(await store.blobs.delete(DIGEST)).toBe(true)
  })
})

describe('a disk with less free than its floor', () => {
  it('takes nothing more, before it is full', async () => {
    let now = 0
    const disk = createFaultyFileSystem()
    const store = await openStore({ fileSystem: disk, now: () => now, minFree: { bytes: 10 * MIB } })
    const upload = await store.uploads.create(REPOSITORY)
    disk.freeBytes = 10 * MIB + SIZE - 1
    const refused = { code: 'DISK_FULL' }
    await expect(store.blobs.put(DIGEST, BYTES)).rejects.toMatchObject(refused)
    await expect(upload.append(chunksOf(BYTES))).rejects.toMatchObject(refused)
    await expect(store.downloads.fetch(DIGEST, sourceOf(BYTES))).rejects.toMatchObject({ cause: refused })
    disk.freeBytes = 10 * MIB + SIZE
    now += 1000
    await store.blobs.put(DIGEST, BYTES)
  })

  it('goes on with a download where a killed process had written more than it claimed', async () => {
    const directory = await temporaryDirectory()
    const power = createFaultyFileSystem()
    const killed = await openStore({ fileSystem: power, flushBytes: SIZE, flushMs: 1_000_000 }, directory)
    const manual = new ManualSource()
    const fetching = killed.downloads.fetch(DIGEST, manual.source)
    const blob = await manual.begin({ size: SIZE, cutThrough: true })
    await fetching
    for (const piece of [0, 1, 2]) await blob.write(piece, pieceOf(BYTES, piece))
    power.failSync = true
    manual.end(true)
    await killed.close()

    const disk = createFaultyFileSystem()
    disk.freeBytes = 2 * MIB
    const store = await openStore({ fileSystem: disk, minFree: { bytes: MIB } }, directory)
    const source = sourceOf(BYTES)
    await store.downloads.fetch(DIGEST, source)
    await store.downloads.whole(DIGEST)
    expect(source.brought).toEqual([0, 1, 2, 3])
    await expectWhole(store)
  })

  it('is asked once a second, and what was taken is counted in between', async () => {
    let now = 0
    const disk = createFaultyFileSystem()
    const store = await openStore({ fileSystem: disk, now: () => now, minFree: { bytes: 0 } })
    disk.freeBytes = 2500
    for (const seed of [1, 2]) {
      const bytes = bytesOf(1000, seed)
      await store.blobs.put(digestOf(bytes), bytes)
    }
    expect(disk.checks).toBe(1)
    disk.freeBytes = 500
    await expect(store.blobs.put(digestOf(SMALL), SMALL)).rejects.toMatchObject({ code: 'DISK_FULL' })
    expect(disk.checks).toBe(2)
    now += 1000
    disk.freeBytes = 1000
    await store.blobs.put(digestOf(SMALL), SMALL)
    expect(disk.checks).toBe(3)
  })

  it('is asked again before anything is refused by a count', async () => {
    const disk = createFaultyFileSystem()
    const store = await openStore({ fileSystem: disk, now: () => 0, minFree: { bytes: 0 } })
    for (const seed of [1, 2, 3]) {
      const bytes = bytesOf(1000, seed)
      disk.freeBytes = 1500
      await store.blobs.put(digestOf(bytes), bytes)
    }
    expect(disk.checks).toBe(3)
  })
})

describe('a disk that fails to sync', () => {
  it('fails the download, and no piece that may be lost is claimed', async () => {
    const directory = await temporaryDirectory()
    const disk = createFaultyFileSystem()
    const store = await openStore({ fileSystem: disk, flushBytes: 2 * MIB, flushMs: 1_000_000 }, directory)
    const manual = new ManualSource()
    const fetching = store.downloads.fetch(DIGEST, manual.source)
    const blob = await manual.begin({ size: SIZE, cutThrough: true })
    await fetching
    disk.failSync = true
    await blob.write(0, pieceOf(BYTES, 0))
    await blob.write(1, pieceOf(BYTES, 1))
    await expect
      .poll(
        () =>
          blob.write(2, pieceOf(BYTES, 2)).then(
            () => undefined,
            (error) => error
          ),
        PATIENT
      )
      .toMatchObject({ code: 'EIO' })
    manual.end(true)
    await expect(store.downloads.whole(DIGEST)).rejects.toMatchObject({ code: 'DOWNLOAD_FAILED' })
    await store.close()
    const again = await openStore({}, directory)
    expect(again.blobs.usedBytes()).toBe(0)
    const source = sourceOf(BYTES)
    await again.downloads.fetch(DIGEST, source)
    await again.downloads.whole(DIGEST)
    expect(source.brought).toEqual([0, 1, 2, 3])
  })

  it('fails the download also when its last piece was written before', async () => {
    const disk = createFaultyFileSystem()
    const store = await openStore({ fileSystem: disk, flushBytes: SIZE, flushMs: 1_000_000 })
    const failing: BlobSource = async (digest, begin, signal) => {
      disk.failSync = true
      return sourceOf(BYTES)(digest, begin, signal)
    }
    await store.downloads.fetch(DIGEST, failing)
    await expect(store.downloads.whole(DIGEST)).rejects.toMatchObject({ cause: { code: 'EIO' } })
    expect(await store.blobs.stat(DIGEST)).toBeUndefined()
  })

  it('refuses an upload, which stays where it was', async () => {
    const { disk, store } = await storeWithFaults()
    const upload = await store.uploads.create(REPOSITORY)
    disk.failSync = true
    await expect(upload.append(chunksOf(BYTES))).rejects.toMatchObject({ code: 'EIO' })
    expect(upload.offset).toBe(0)
    await upload.append(chunksOf(BYTES))
    await upload.commit(DIGEST)
    await expectWhole(store)
  })
})

import { existsSync } from 'node:fs'
import { digestOf } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import type { BlobSource } from '../interfaces.ts'
import { bytesOf, collect, isSame, MIB, pieceOf, whole } from '../testing/bytes.ts'
import { ManualSource, sourceOf } from '../testing/sources.ts'
import { blobPath, contentsOf, flipBit, openStore, temporaryDirectory } from '../testing/stores.ts'

const BYTES = bytesOf(3 * MIB + 99)
const SIZE = BYTES.byteLength
const DIGEST = digestOf(BYTES)
const HASHES = Buffer.concat([0, 1, 2, 3].map((piece) => Buffer.from(digestOf(pieceOf(BYTES, piece)).slice(7), 'hex')))

describe('a download', () => {
  it('brings a blob that is whole and verified then, also after a restart', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    const reader = await store.downloads.fetch(DIGEST, sourceOf(BYTES))
    expect(reader).toMatchObject({ digest: DIGEST, size: SIZE, complete: false })
    expect(await store.downloads.whole(DIGEST)).toEqual({ digest: DIGEST, size: SIZE })
    expect(isSame(await contentsOf(store, DIGEST), BYTES)).toBe(true)
    expect(store.blobs.usedBytes()).toBe(SIZE)
    await store.close()
    const again = await openStore({}, directory)
    expect(isSame(await contentsOf(again, DIGEST), BYTES)).toBe(true)
    expect(existsSync(blobPath(directory, DIGEST, 'partial'))).toBe(false)
  })

  it.each([
    ['backwards', [3, 2, 1, 0]],
    ['all over', [2, 0, 3, 1]]
  ])('takes pieces %s', async (_, pieces) => {
    const store = await openStore()
    await store.downloads.fetch(DIGEST, sourceOf(BYTES, { pieces }))
    await store.downloads.whole(DIGEST)
    expect(isSame(await contentsOf(store, DIGEST), BYTES)).toBe(true)
    expect(Buffer.from((await store.blobs.pieceHashes(DIGEST))?.hashes ?? [])).toEqual(HASHES)
  })

  it('takes the hashes of pieces from whoever vouches for them', async () => {
    const store = await openStore()
    await store.downloads.fetch(DIGEST, sourceOf(BYTES, { pieceHashes: HASHES }))
    await store.downloads.whole(DIGEST)
    expect(isSame(await contentsOf(store, DIGEST), BYTES)).toBe(true)
  })

  it('holds the last piece back from readers until the whole was verified, when that is asked', async () => {
    const store = await openStore()
    const manual = new ManualSource()
    const reader = store.downloads.fetch(DIGEST, manual.source)
    const blob = await manual.begin({ size: SIZE, cutThrough: true, lastAfterProof: true })
    for (const piece of [0, 1, 2, 3]) await blob.write(piece, piece < 3 ? pieceOf(BYTES, piece) : bytesOf(99, 9))
    const read = (await reader)?.read({ start: 0, end: SIZE })[Symbol.asyncIterator]()
    for (const piece of [0, 1, 2])
      expect(isSame((await read?.next())?.value ?? new Uint8Array(), pieceOf(BYTES, piece))).toBe(true)
    const last = read?.next()
    manual.end(true)
    await expect(last).rejects.toMatchObject({ code: 'DOWNLOAD_FAILED' })
  })

  it('brings a blob named by SHA-512', async () => {
    const store = await openStore()
    const digest = digestOf(BYTES, 'sha512')
    await store.downloads.fetch(digest, sourceOf(BYTES))
    expect(await store.downloads.whole(digest)).toEqual({ digest, size: SIZE })
  })

  it('brings the empty blob', async () => {
    const store = await openStore()
    const digest = digestOf(new Uint8Array(0))
    const reader = await store.downloads.fetch(digest, sourceOf(new Uint8Array(0)))
    expect(reader && (await collect(reader.read(whole(reader))))).toHaveLength(0)
    expect(await store.downloads.whole(digest)).toEqual({ digest, size: 0 })
  })

  it('runs once for many who want the same blob', async () => {
    const store = await openStore()
    const manual = new ManualSource()
    const fetches = Array.from({ length: 10 }, () => store.downloads.fetch(DIGEST, manual.source))
    const blob = await manual.begin({ size: SIZE, cutThrough: true })
    const readers = await Promise.all(fetches)
    const reads = readers.map((reader) => reader && collect(reader.read(whole(reader))))
    for (const piece of [1, 3, 0, 2]) await blob.write(piece, pieceOf(BYTES, piece))
    manual.end(true)
    for (const read of await Promise.all(reads)) expect(read && isSame(read, BYTES)).toBe(true)
    expect(manual.calls).toBe(1)
  })

  it('is not started for a blob that is here', async () => {
    const store = await openStore()
    await store.blobs.put(DIGEST, BYTES)
    const source: BlobSource = async () => expect.unreachable()
    const reader = await store.downloads.fetch(DIGEST, source)
    expect(reader?.complete).toBe(true)
  })

  it('may find that its source brought the blob by another way', async () => {
    const store = await openStore()
    const reader = await store.downloads.fetch(DIGEST, async () => {
      await store.blobs.put(DIGEST, BYTES)
      return true
    })
    expect(reader?.complete).toBe(true)
    expect(await store.downloads.whole(DIGEST)).toEqual({ digest: DIGEST, size: SIZE })
  })

  it('gives readers each piece as it comes', async () => {
    const store = await openStore()
    const manual = new ManualSource()
    const fetching = store.downloads.fetch(DIGEST, manual.source)
    const blob = await manual.begin({ size: SIZE, cutThrough: true })
    const reader = await fetching
    if (reader === undefined) return expect.unreachable()
    const chunks = reader.read(whole(reader))[Symbol.asyncIterator]()
    for (const piece of [0, 1, 2, 3]) {
      await blob.write(piece, pieceOf(BYTES, piece))
      const { value } = await chunks.next()
      expect(isSame(value, pieceOf(BYTES, piece))).toBe(true)
    }
    expect((await chunks.next()).done).toBe(true)
    expect(await store.blobs.stat(DIGEST)).toBeUndefined()
    manual.end(true)
    await store.downloads.whole(DIGEST)
  })

  it('tells which pieces its readers wait for', async () => {
    const store = await openStore()
    const manual = new ManualSource()
    const fetching = store.downloads.fetch(DIGEST, manual.source)
    const blob = await manual.begin({ size: SIZE, cutThrough: true })
    const reader = await fetching
    if (reader === undefined) return expect.unreachable()
    const awaited: number[] = []
    const both = Promise.withResolvers<void>()
    const stop = blob.onAwait((piece) => {
      awaited.push(piece)
      if (awaited.length === 2) both.resolve()
    })
    const late = collect(reader.read({ start: 2 * MIB, end: 2 * MIB + 1 }))
    const early = collect(reader.read({ start: 5, end: 6 }))
    await both.promise
    expect(awaited.sort()).toEqual([0, 2])
    expect(blob.awaitedPieces()).toEqual([0, 2])
    await blob.write(0, pieceOf(BYTES, 0))
    expect(await early).toHaveLength(1)
    expect(blob.awaitedPieces()).toEqual([2])
    stop()
    await blob.write(2, pieceOf(BYTES, 2))
    expect(await late).toHaveLength(1)
    expect(blob.awaitedPieces()).toEqual([])
  })

  it('shares the pieces that are here with peers', async () => {
    const store = await openStore()
    const manual = new ManualSource()
    const fetching = store.downloads.fetch(DIGEST, manual.source)
    const blob = await manual.begin({ size: SIZE, cutThrough: true })
    await fetching
    expect(store.downloads.inFlight(DIGEST)).toBe(blob)
    expect(store.downloads.list()).toEqual([blob])
    await blob.write(1, pieceOf(BYTES, 1))
    expect([blob.has(0), blob.has(1), blob.heldPieces]).toEqual([false, true, 1])
    expect(blob.bitfield()).toEqual(new Uint8Array([0b0100_0000]))
    const held = await store.blobs.readAt(DIGEST, { start: MIB, end: 2 * MIB })
    expect(held && isSame(held, pieceOf(BYTES, 1))).toBe(true)
    expect(await store.blobs.readAt(DIGEST, { start: MIB, end: 2 * MIB + 1 })).toBeUndefined()
    await expect(store.blobs.readAt(DIGEST, { start: SIZE, end: SIZE + 1 })).rejects.toBeInstanceOf(RangeError)
    expect(store.blobs.usedBytes()).toBe(MIB)
  })

  it('holds everything back until the whole is verified when nobody vouches for the pieces', async () => {
    const store = await openStore()
    const manual = new ManualSource()
    const fetching = store.downloads.fetch(DIGEST, manual.source)
    const blob = await manual.begin({ size: SIZE, cutThrough: false })
    const reader = await fetching
    if (reader === undefined) return expect.unreachable()
    const chunks = reader.read(whole(reader))[Symbol.asyncIterator]()
    let served = false
    const first = chunks.next().then((next) => {
      served = true
      return next
    })
    for (const piece of [0, 1, 2, 3]) await blob.write(piece, pieceOf(BYTES, piece))
    expect(await store.blobs.readAt(DIGEST, { start: 0, end: 1 })).toBeUndefined()
    expect(store.downloads.inFlight(DIGEST)).toBeUndefined()
    expect(store.downloads.list()).toEqual([])
    let servedLate = false
    const late = collect(reader.read({ start: 0, end: 1 })).then((bytes) => {
      servedLate = true
      return bytes
    })
    // Enough work that the late reader would have had its byte if it could.
    await store.blobs.put(digestOf(pieceOf(BYTES, 1)), pieceOf(BYTES, 1))
    await store.blobs.readAt(digestOf(pieceOf(BYTES, 1)), { start: 0, end: MIB })
    expect([served, servedLate]).toEqual([false, false])
    manual.end(true)
    expect(isSame((await first).value, pieceOf(BYTES, 0))).toBe(true)
    expect(await late).toEqual(BYTES.slice(0, 1))
    expect(await store.downloads.whole(DIGEST)).toEqual({ digest: DIGEST, size: SIZE })
  })

  it('serves nothing of a blob that was held back and turned out wrong', async () => {
    const store = await openStore()
    const wrong = BYTES.slice()
    wrong[7] = (wrong[7] ?? 0) ^ 1
    const reader = await store.downloads.fetch(DIGEST, sourceOf(wrong, { cutThrough: false }))
    if (reader === undefined) return expect.unreachable()
    await expect(collect(reader.read(whole(reader)))).rejects.toMatchObject({
      code: 'DOWNLOAD_FAILED',
      cause: { code: 'DIGEST_MISMATCH' }
    })
  })

  it('keeps nothing of a blob whose whole has another digest', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    const wrong = bytesOf(SIZE, 5)
    await store.downloads.fetch(DIGEST, sourceOf(wrong))
    await expect(store.downloads.whole(DIGEST)).rejects.toMatchObject({
      code: 'DOWNLOAD_FAILED',
      cause: { code: 'DIGEST_MISMATCH' }
    })
    const source = sourceOf(BYTES)
    await store.downloads.fetch(DIGEST, source)
    await store.downloads.whole(DIGEST)
    expect(source.brought).toEqual([0, 1, 2, 3])
    expect(isSame(await contentsOf(store, DIGEST), BYTES)).toBe(true)
  })

  it('blames the disk, not the source, for a piece that changed on disk', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    const manual = new ManualSource()
    const fetching = store.downloads.fetch(DIGEST, manual.source)
    const blob = await manual.begin({ size: SIZE, cutThrough: true })
    await fetching
    // Piece 0 comes last: nothing is hashed for the digest before it, so the flipped bit is in.
    for (const piece of [1, 2, 3]) await blob.write(piece, pieceOf(BYTES, piece))
    await flipBit(blobPath(directory, DIGEST, 'partial'), 2 * MIB + 1)
    await blob.write(0, pieceOf(BYTES, 0))
    const finished = store.downloads.whole(DIGEST)
    manual.end(true)
    await expect(finished).rejects.toMatchObject({ code: 'DOWNLOAD_FAILED', cause: { code: 'BLOB_CORRUPT' } })
    const source = sourceOf(BYTES)
    await store.downloads.fetch(DIGEST, source)
    await store.downloads.whole(DIGEST)
    expect(source.brought).toEqual([2])
  })

  it('serves no piece that changed on disk while the rest comes', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    const manual = new ManualSource()
    const fetching = store.downloads.fetch(DIGEST, manual.source)
    const blob = await manual.begin({ size: SIZE, cutThrough: true })
    const reader = await fetching
    if (reader === undefined) return expect.unreachable()
    // Piece 0 comes after the bit was flipped, so the hash of the whole takes the bad piece in.
    await blob.write(1, pieceOf(BYTES, 1))
    await flipBit(blobPath(directory, DIGEST, 'partial'), MIB + 1)
    await blob.write(0, pieceOf(BYTES, 0))
    for (let read = 0; read < 10; read++) await store.blobs.readAt(DIGEST, { start: 0, end: MIB })
    await expect(collect(reader.read({ start: MIB, end: MIB + 1 }))).rejects.toMatchObject({ code: 'BLOB_CORRUPT' })
    expect(blob.has(1)).toBe(false)
    for (const piece of [0, 1, 2, 3]) await blob.write(piece, pieceOf(BYTES, piece))
    manual.end(true)
    expect(await store.downloads.whole(DIGEST)).toEqual({ digest: DIGEST, size: SIZE })
  })

  it('refuses pieces of a wrong length and pieces that are not in the blob', async () => {
    const store = await openStore()
    const manual = new ManualSource()
    const fetching = store.downloads.fetch(DIGEST, manual.source)
    const blob = await manual.begin({ size: SIZE, cutThrough: true })
    await fetching
    for (const [piece, length] of [
      [0, MIB - 1],
      [3, MIB],
      [4, 1],
      [-1, MIB],
      [0.5, MIB]
    ] as const) {
      await expect(blob.write(piece, new Uint8Array(length))).rejects.toMatchObject({ code: 'PIECE_LENGTH' })
    }
    expect(blob.heldPieces).toBe(0)
  })

  it('does nothing when a piece is written that is here', async () => {
    const store = await openStore()
    const manual = new ManualSource()
    const fetching = store.downloads.fetch(DIGEST, manual.source)
    const blob = await manual.begin({ size: SIZE, cutThrough: true })
    await fetching
    await Promise.all([blob.write(0, pieceOf(BYTES, 0)), blob.write(0, pieceOf(BYTES, 0))])
    await blob.write(0, new Uint8Array(MIB))
    const bytes = await store.blobs.readAt(DIGEST, { start: 0, end: MIB })
    expect(bytes && isSame(bytes, pieceOf(BYTES, 0))).toBe(true)
    expect(store.blobs.usedBytes()).toBe(MIB)
  })

  it('ends when the blob is pushed meanwhile, and that one stays', async () => {
    const store = await openStore()
    const manual = new ManualSource()
    const fetching = store.downloads.fetch(DIGEST, manual.source)
    const blob = await manual.begin({ size: SIZE, cutThrough: true })
    await fetching
    await store.blobs.put(DIGEST, BYTES)
    for (const piece of [0, 1, 2, 3]) await blob.write(piece, pieceOf(BYTES, piece))
    const finished = store.downloads.whole(DIGEST)
    manual.end(true)
    await finished
    expect(isSame(await contentsOf(store, DIGEST), BYTES)).toBe(true)
    expect(store.blobs.usedBytes()).toBe(SIZE)
    expect(store.blobs.count()).toBe(1)
  })
})

import { readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { type Digest, digestOf } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import type { BlobReader, ContentStore } from '../interfaces.ts'
import type { Corruption } from '../options.ts'
import { bytesOf, collect, isSame, MIB, pieceOf, whole } from '../testing/bytes.ts'
import { sourceOf } from '../testing/sources.ts'
import { blobPath, flipBit, openFilesBelow, openStore, temporaryDirectory } from '../testing/stores.ts'

const THREE_PIECES = bytesOf(2 * MIB + 1234)
const DIGEST = digestOf(THREE_PIECES)

async function readerOf(store: ContentStore, digest: Digest): Promise<BlobReader> {
  const reader = await store.blobs.open(digest)
  if (reader === undefined) throw new Error(`${digest} is not here`)
  return reader
}

async function listed(store: ContentStore): Promise<Digest[]> {
  const digests: Digest[] = []
  for await (const { digest } of store.blobs.list()) digests.push(digest)
  return digests
}

describe('whole blobs', () => {
  it('gives back what was put, also after a restart', async () => {
    const directory = await temporaryDirectory()
    const first = await openStore({}, directory)
    await first.blobs.put(DIGEST, THREE_PIECES)
    await first.close()
    const store = await openStore({}, directory)
    expect(await store.blobs.stat(DIGEST)).toEqual({ digest: DIGEST, size: THREE_PIECES.byteLength })
    const reader = await readerOf(store, DIGEST)
    expect(reader.complete).toBe(true)
    expect(Buffer.compare(await collect(reader.read(whole(reader))), THREE_PIECES)).toBe(0)
    expect(store.blobs.count()).toBe(1)
    expect(store.blobs.usedBytes()).toBe(THREE_PIECES.byteLength)
  })

  it('knows nothing of a blob that was never put', async () => {
    const store = await openStore()
    expect(await store.blobs.stat(DIGEST)).toBeUndefined()
    expect(await store.blobs.open(DIGEST)).toBeUndefined()
    expect(await store.blobs.readAt(DIGEST, { start: 0, end: 1 })).toBeUndefined()
    expect(await store.blobs.pieceHashes(DIGEST)).toBeUndefined()
    expect(await store.blobs.delete(DIGEST)).toBe(false)
  })

  it('refuses bytes of another digest and leaves nothing of them', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    await expect(store.blobs.put(DIGEST, bytesOf(10))).rejects.toMatchObject({ code: 'DIGEST_INVALID' })
    expect(await store.blobs.stat(DIGEST)).toBeUndefined()
    expect(await readdir(`${directory}/temporary`)).toEqual([])
  })

  it('keeps blobs named by SHA-512', async () => {
    const store = await openStore()
    const digest = digestOf(THREE_PIECES, 'sha512')
    await store.blobs.put(digest, THREE_PIECES)
    const reader = await readerOf(store, digest)
    expect(Buffer.compare(await collect(reader.read(whole(reader))), THREE_PIECES)).toBe(0)
  })

  it('keeps the empty blob', async () => {
    const store = await openStore()
    const digest = digestOf(new Uint8Array(0))
    await store.blobs.put(digest, new Uint8Array(0))
    const reader = await readerOf(store, digest)
    expect(reader.size).toBe(0)
    expect(await collect(reader.read(whole(reader)))).toHaveLength(0)
    expect(await store.blobs.readAt(digest, { start: 0, end: 0 })).toHaveLength(0)
    expect((await store.blobs.pieceHashes(digest))?.hashes).toHaveLength(0)
  })

  it('is put many times at once and kept once', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    await Promise.all(Array.from({ length: 8 }, () => store.blobs.put(DIGEST, THREE_PIECES)))
    expect(await listed(store)).toEqual([DIGEST])
    expect(store.blobs.usedBytes()).toBe(THREE_PIECES.byteLength)
    expect(await readdir(`${directory}/temporary`)).toEqual([])
  })

  it.each([
    ['within a piece', 10, 20],
    ['across a border', MIB - 3, MIB + 3],
    ['from the middle to the end', MIB + 7, 2 * MIB + 1234],
    ['of a whole piece', MIB, 2 * MIB],
    ['of nothing', 5, 5]
  ])('reads a range %s', async (_, start, end) => {
    const store = await openStore()
    await store.blobs.put(DIGEST, THREE_PIECES)
    const reader = await readerOf(store, DIGEST)
    expect(Buffer.compare(await collect(reader.read({ start, end })), THREE_PIECES.subarray(start, end))).toBe(0)
  })

  it.each([
    [-1, 2],
    [3, 2],
    [0, 2 * MIB + 1235],
    [0.5, 2]
  ])('refuses the range from %d to %d', async (start, end) => {
    const store = await openStore()
    await store.blobs.put(DIGEST, THREE_PIECES)
    const reader = await readerOf(store, DIGEST)
    await expect(collect(reader.read({ start, end }))).rejects.toBeInstanceOf(RangeError)
    await expect(store.blobs.readAt(DIGEST, { start, end })).rejects.toBeInstanceOf(RangeError)
  })

  it('gives a peer a range, verified', async () => {
    const store = await openStore()
    await store.blobs.put(DIGEST, THREE_PIECES)
    const range = { start: MIB - 100, end: MIB + 100 }
    const bytes = await store.blobs.readAt(DIGEST, range)
    expect(bytes && Buffer.compare(bytes, THREE_PIECES.subarray(range.start, range.end))).toBe(0)
  })

  it('tells the hash of each piece', async () => {
    const store = await openStore()
    await store.blobs.put(DIGEST, THREE_PIECES)
    const pieces = await store.blobs.pieceHashes(DIGEST)
    const expected = [0, 1, 2].map((piece) => digestOf(pieceOf(THREE_PIECES, piece)).slice('sha256:'.length))
    expect(pieces?.pieceLength).toBe(MIB)
    expect(Buffer.from(pieces?.hashes ?? []).toString('hex')).toBe(expected.join(''))
  })

  it.each([false, true])('uses the memory of a chunk again only for who allows it: %s', async (reuseMemory) => {
    const store = await openStore()
    const long = bytesOf(9 * MIB + 5)
    await store.blobs.put(digestOf(long), long)
    const reader = await readerOf(store, digestOf(long))
    const chunks: Uint8Array[] = []
    const copies: Uint8Array[] = []
    for await (const chunk of reader.read({ start: 7, end: reader.size }, undefined, { reuseMemory })) {
      chunks.push(chunk)
      copies.push(chunk.slice())
    }
    expect(isSame(Buffer.concat(copies), long.subarray(7))).toBe(true)
    // Memory that is used again has left this thread for a hashing thread, and come back as another array.
    expect(chunks.some(({ byteLength }) => byteLength === 0)).toBe(reuseMemory)
  })

  it('ends a read when its signal aborts', async () => {
    const store = await openStore()
    await store.blobs.put(DIGEST, THREE_PIECES)
    const reader = await readerOf(store, DIGEST)
    const stop = new AbortController()
    const chunks = reader.read(whole(reader), stop.signal)[Symbol.asyncIterator]()
    await chunks.next()
    stop.abort(new Error('left'))
    await expect(chunks.next()).rejects.toThrow('left')
  })

  it('lets a reader finish after the blob was deleted, and counts it no more', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    await store.blobs.put(DIGEST, THREE_PIECES)
    const reader = await readerOf(store, DIGEST)
    const chunks = reader.read(whole(reader))[Symbol.asyncIterator]()
    const first = await chunks.next()
    expect(await store.blobs.delete(DIGEST)).toBe(true)
    expect(await store.blobs.open(DIGEST)).toBeUndefined()
    const rest = [(await chunks.next()).value, (await chunks.next()).value, (await chunks.next()).done]
    expect(Buffer.compare(Buffer.concat([first.value, rest[0], rest[1]]), THREE_PIECES)).toBe(0)
    expect(rest[2]).toBe(true)
    expect(await store.blobs.stat(DIGEST)).toBeUndefined()
    expect(store.blobs.usedBytes()).toBe(0)
    expect(await readdir(`${directory}/blobs/sha256/${DIGEST.slice(7, 9)}`)).toEqual([])
    await expect(collect(reader.read(whole(reader)))).rejects.toMatchObject({ code: 'BLOB_GONE' })
  })

  it('keeps no more files open than it may', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({ maxOpenBlobs: 2 }, directory)
    const blobs = Array.from({ length: 6 }, (_, seed) => bytesOf(100, seed + 1))
    for (const bytes of blobs) await store.blobs.put(digestOf(bytes), bytes)
    for (const bytes of [...blobs, ...blobs]) {
      const read = await store.blobs.readAt(digestOf(bytes), { start: 0, end: 100 })
      expect(read && Buffer.compare(read, bytes)).toBe(0)
    }
    expect(await openFilesBelow(`${directory}/blobs`)).toHaveLength(2)
  })
})

describe('a blob that the disk changed', () => {
  async function storeWithHarm(harm: (path: string) => Promise<void>) {
    const directory = await temporaryDirectory()
    const corruptions: Corruption[] = []
    const store = await openStore({ onCorrupt: (corruption) => corruptions.push(corruption) }, directory)
    await store.blobs.put(DIGEST, THREE_PIECES)
    await harm(blobPath(directory, DIGEST))
    return { store, directory, corruptions }
  }

  it('is not served from the bad piece on, and is taken back', async () => {
    const { store, corruptions } = await storeWithHarm((path) => flipBit(path, MIB + 5))
    const reader = await readerOf(store, DIGEST)
    const got: Uint8Array[] = []
    const reading = (async () => {
      for await (const chunk of reader.read(whole(reader))) got.push(chunk)
    })()
    await expect(reading).rejects.toMatchObject({ code: 'BLOB_CORRUPT' })
    expect(Buffer.compare(Buffer.concat(got), pieceOf(THREE_PIECES, 0))).toBe(0)
    expect(corruptions).toEqual([{ digest: DIGEST, pieces: [1] }])
    expect(await store.blobs.stat(DIGEST)).toBeUndefined()
    expect(await store.blobs.open(DIGEST)).toBeUndefined()
    expect(await store.blobs.readAt(DIGEST, { start: 0, end: 10 })).toBeUndefined()
    expect(await listed(store)).toEqual([])
    expect(store.blobs.usedBytes()).toBe(THREE_PIECES.byteLength - MIB)
  })

  it('is whole again after only the bad piece was fetched', async () => {
    const { store } = await storeWithHarm((path) => flipBit(path, MIB + 5))
    await expect(store.blobs.readAt(DIGEST, { start: MIB, end: MIB + 1 })).rejects.toMatchObject({
      code: 'BLOB_CORRUPT'
    })
    const source = sourceOf(THREE_PIECES)
    await store.downloads.fetch(DIGEST, source)
    await store.downloads.whole(DIGEST)
    expect(source.brought).toEqual([1])
    const reader = await readerOf(store, DIGEST)
    expect(Buffer.compare(await collect(reader.read(whole(reader))), THREE_PIECES)).toBe(0)
  })

  it('finds the other bad pieces before it fetches', async () => {
    const { store } = await storeWithHarm(async (path) => {
      await flipBit(path, 5)
      await flipBit(path, 2 * MIB + 5)
    })
    await expect(store.blobs.readAt(DIGEST, { start: 0, end: 1 })).rejects.toMatchObject({ code: 'BLOB_CORRUPT' })
    const source = sourceOf(THREE_PIECES)
    await store.downloads.fetch(DIGEST, source)
    await store.downloads.whole(DIGEST)
    expect(source.brought).toEqual([0, 2])
  })

  it.each([
    ['cut off', (path: string) => truncate(path, MIB + 17), [1, 2]],
    ['longer', (path: string) => writeFile(path, 'more', { flag: 'a' }), []],
    ['gone', (path: string) => rm(path), [0, 1, 2]]
  ])('is not opened when its file is %s', async (_, harm, lost) => {
    const { store, corruptions } = await storeWithHarm(harm)
    expect(await store.blobs.open(DIGEST)).toBeUndefined()
    expect(await store.blobs.stat(DIGEST)).toBeUndefined()
    expect(corruptions).toEqual([{ digest: DIGEST, pieces: [] }])
    const source = sourceOf(THREE_PIECES)
    await store.downloads.fetch(DIGEST, source)
    await store.downloads.whole(DIGEST)
    expect(source.brought).toEqual(lost)
  })

  it('is found though the piece was read and verified before, also when the blob was not open meanwhile', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({ maxOpenBlobs: 1 }, directory)
    const other = bytesOf(10, 9)
    await store.blobs.put(DIGEST, THREE_PIECES)
    await store.blobs.put(digestOf(other), other)
    for (const digest of [DIGEST, digestOf(other)]) await store.blobs.readAt(digest, { start: 0, end: 10 })
    await flipBit(blobPath(directory, DIGEST), 9)
    await expect(store.blobs.readAt(DIGEST, { start: 0, end: 10 })).rejects.toMatchObject({ code: 'BLOB_CORRUPT' })
    const source = sourceOf(THREE_PIECES)
    await store.downloads.fetch(DIGEST, source)
    await store.downloads.whole(DIGEST)
    expect(source.brought).toEqual([0])
    expect(isSame(await store.blobs.readAt(DIGEST, { start: 0, end: 10 }), THREE_PIECES.subarray(0, 10))).toBe(true)
  })

  it('is not served after a restart before it was verified again', async () => {
    const { store, directory } = await storeWithHarm((path) => flipBit(path, 0))
    await expect(store.blobs.readAt(DIGEST, { start: 0, end: 1 })).rejects.toMatchObject({ code: 'BLOB_CORRUPT' })
    await store.close()
    const again = await openStore({}, directory)
    expect(await again.blobs.open(DIGEST)).toBeUndefined()
    expect(again.blobs.usedBytes()).toBe(THREE_PIECES.byteLength - MIB)
  })

  it('is told once, though many read it', async () => {
    const { store, corruptions } = await storeWithHarm((path) => flipBit(path, 3))
    const reads = await Promise.allSettled(
      Array.from({ length: 8 }, () => store.blobs.readAt(DIGEST, { start: 0, end: 9 }))
    )
    expect(reads.every(({ status }) => status === 'rejected')).toBe(true)
    expect(corruptions).toHaveLength(1)
  })
})

import { existsSync } from 'node:fs'
import { digestOf } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import type { BlobSource } from '../interfaces.ts'
import { bytesOf, MIB, pieceOf } from '../testing/bytes.ts'
import { sourceOf } from '../testing/sources.ts'
import { blobPath, flipBit, openStore, temporaryDirectory } from '../testing/stores.ts'

const BYTES = bytesOf(3 * MIB + 99)
const SIZE = BYTES.byteLength
const DIGEST = digestOf(BYTES)
const HASHES = Buffer.concat([0, 1, 2, 3].map((piece) => Buffer.from(digestOf(pieceOf(BYTES, piece)).slice(7), 'hex')))

describe('pieces of an earlier attempt', () => {
  async function storeWithPieces(bytes: Uint8Array, pieces: number[], cutThrough: boolean) {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    const giveUp: BlobSource = async (digest, begin, signal) => {
      await sourceOf(bytes, { pieces, cutThrough })(digest, begin, signal)
      throw new Error('enough')
    }
    await store.downloads.fetch(DIGEST, giveUp)
    await expect(store.downloads.whole(DIGEST)).rejects.toMatchObject({ cause: { message: 'enough' } })
    await store.close()
    return { directory, store: await openStore({}, directory) }
  }

  it('are there after a restart', async () => {
    const { store } = await storeWithPieces(BYTES, [1, 3], true)
    expect(store.blobs.usedBytes()).toBe(MIB + 99)
    expect(store.downloads.list()).toEqual([])
    expect(await store.blobs.readAt(DIGEST, { start: MIB, end: MIB + 1 })).toBeUndefined()
    const source = sourceOf(BYTES)
    await store.downloads.fetch(DIGEST, source)
    await store.downloads.whole(DIGEST)
    expect(source.brought).toEqual([0, 2])
  })

  it('are dropped where the disk lost them', async () => {
    const { store, directory } = await storeWithPieces(BYTES, [1, 3], true)
    await flipBit(blobPath(directory, DIGEST, 'partial'), MIB)
    const source = sourceOf(BYTES)
    await store.downloads.fetch(DIGEST, source)
    await store.downloads.whole(DIGEST)
    expect(source.brought).toEqual([0, 1, 2])
  })

  it('are dropped where they are not what is vouched for now', async () => {
    const liar = BYTES.slice()
    liar[MIB] = (liar[MIB] ?? 0) ^ 1
    const { store } = await storeWithPieces(liar, [0, 1], true)
    const source = sourceOf(BYTES, { pieceHashes: HASHES })
    await store.downloads.fetch(DIGEST, source)
    await store.downloads.whole(DIGEST)
    expect(source.brought).toEqual([1, 2, 3])
  })

  it('are not cut through when nobody vouched for them', async () => {
    const { store } = await storeWithPieces(BYTES, [0, 1], false)
    const source = sourceOf(BYTES)
    await store.downloads.fetch(DIGEST, source)
    await store.downloads.whole(DIGEST)
    expect(source.brought).toEqual([0, 1, 2, 3])
  })

  it('are dropped when the blob turns out to be of another length', async () => {
    const { store } = await storeWithPieces(bytesOf(4 * MIB), [0, 1], true)
    const source = sourceOf(BYTES)
    await store.downloads.fetch(DIGEST, source)
    await store.downloads.whole(DIGEST)
    expect(source.brought).toEqual([0, 1, 2, 3])
  })

  it('go when the blob is pushed, or deleted', async () => {
    const pushed = await storeWithPieces(BYTES, [0, 1], true)
    await pushed.store.blobs.put(DIGEST, BYTES)
    expect(pushed.store.blobs.usedBytes()).toBe(SIZE)
    expect(existsSync(blobPath(pushed.directory, DIGEST, 'partial'))).toBe(false)
    const deleted = await storeWithPieces(BYTES, [0, 1], true)
    expect(await deleted.store.blobs.delete(DIGEST)).toBe(false)
    expect(deleted.store.blobs.usedBytes()).toBe(0)
    expect(existsSync(blobPath(deleted.directory, DIGEST, 'partial'))).toBe(false)
  })
})

import { digestOf } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import type { BlobSource } from '../interfaces.ts'
import { bytesOf, collect, MIB, pieceOf, whole } from '../testing/bytes.ts'
import { ManualSource, sourceOf } from '../testing/sources.ts'
import { openStore } from '../testing/stores.ts'

const BYTES = bytesOf(3 * MIB + 99)
const SIZE = BYTES.byteLength
const DIGEST = digestOf(BYTES)
const HASHES = Buffer.concat([0, 1, 2, 3].map((piece) => Buffer.from(digestOf(pieceOf(BYTES, piece)).slice(7), 'hex')))

describe('a download that fails', () => {
  it('tells all who want the blob that nobody has it', async () => {
    const store = await openStore()
    const manual = new ManualSource()
    const fetches = [store.downloads.fetch(DIGEST, manual.source), store.downloads.fetch(DIGEST, manual.source)]
    await manual.asked
    const finished = store.downloads.whole(DIGEST)
    manual.end(false)
    expect(await Promise.all(fetches)).toEqual([undefined, undefined])
    await expect(finished).rejects.toMatchObject({ code: 'DOWNLOAD_FAILED' })
    expect(manual.calls).toBe(1)
  })

  it('lets its source do nothing any more after it ended', async () => {
    const store = await openStore()
    const manual = new ManualSource()
    const fetching = store.downloads.fetch(DIGEST, manual.source)
    const begin = await manual.asked
    manual.end(false)
    expect(await fetching).toBeUndefined()
    await expect(begin({ size: SIZE, cutThrough: true })).rejects.toMatchObject({ code: 'DOWNLOAD_FAILED' })
    await store.downloads.fetch(DIGEST, sourceOf(BYTES))
    expect(await store.downloads.whole(DIGEST)).toEqual({ digest: DIGEST, size: SIZE })
  })

  it('fails those who wait before it began, with the cause', async () => {
    const store = await openStore()
    const source: BlobSource = async () => {
      throw new Error('no route')
    }
    await expect(store.downloads.fetch(DIGEST, source)).rejects.toMatchObject({
      code: 'DOWNLOAD_FAILED',
      cause: { message: 'no route' }
    })
  })

  it('fails its readers, and keeps the pieces for the next attempt', async () => {
    const store = await openStore()
    const manual = new ManualSource()
    const fetching = store.downloads.fetch(DIGEST, manual.source)
    const blob = await manual.begin({ size: SIZE, cutThrough: true })
    const reader = await fetching
    if (reader === undefined) return expect.unreachable()
    for (const piece of [0, 2]) await blob.write(piece, pieceOf(BYTES, piece))
    const reading = collect(reader.read(whole(reader)))
    manual.fail(new Error('the peer died'))
    await expect(reading).rejects.toMatchObject({ code: 'DOWNLOAD_FAILED', cause: { message: 'the peer died' } })
    await expect(collect(reader.read(whole(reader)))).rejects.toMatchObject({ code: 'DOWNLOAD_FAILED' })
    const source = sourceOf(BYTES)
    await store.downloads.fetch(DIGEST, source)
    await store.downloads.whole(DIGEST)
    expect(source.brought).toEqual([1, 3])
    await expect(blob.write(1, pieceOf(BYTES, 1))).rejects.toMatchObject({ code: 'DOWNLOAD_FAILED' })
  })

  it('fails when its source is done before every piece is here', async () => {
    const store = await openStore()
    await store.downloads.fetch(DIGEST, sourceOf(BYTES, { pieces: [0, 1] }))
    await expect(store.downloads.whole(DIGEST)).rejects.toMatchObject({
      code: 'DOWNLOAD_FAILED',
      cause: { code: 'DOWNLOAD_INCOMPLETE' }
    })
  })

  it('fails when its source is done without having begun, or gives up after it began', async () => {
    const store = await openStore()
    await expect(store.downloads.fetch(DIGEST, async () => true)).rejects.toMatchObject({
      code: 'DOWNLOAD_FAILED',
      cause: { code: 'DOWNLOAD_INCOMPLETE' }
    })
    const giveUp: BlobSource = async (_digest, begin) => {
      await begin({ size: SIZE, cutThrough: true })
      return false
    }
    const reader = await store.downloads.fetch(DIGEST, giveUp)
    await expect(reader && collect(reader.read(whole(reader)))).rejects.toMatchObject({ code: 'DOWNLOAD_FAILED' })
  })

  it('does not mind a source that throws while its download begins, or looks away', async () => {
    const store = await openStore({ maxBlobBytes: MIB })
    const hasty: BlobSource = async (_digest, begin) => {
      void begin({ size: 10, cutThrough: true })
      throw new Error('changed my mind')
    }
    await expect(store.downloads.fetch(DIGEST, hasty)).rejects.toMatchObject({ cause: { message: 'changed my mind' } })
    const careless: BlobSource = async (_digest, begin) => {
      void begin({ size: SIZE, cutThrough: true })
      return true
    }
    await expect(store.downloads.fetch(DIGEST, careless)).rejects.toMatchObject({ cause: { code: 'BLOB_TOO_LARGE' } })
  })

  it('is tried anew by whoever asks next', async () => {
    const store = await openStore()
    await expect(
      store.downloads.fetch(DIGEST, async () => {
        throw new Error('down')
      })
    ).rejects.toMatchObject({ code: 'DOWNLOAD_FAILED' })
    await store.downloads.fetch(DIGEST, sourceOf(BYTES))
    expect(await store.downloads.whole(DIGEST)).toEqual({ digest: DIGEST, size: SIZE })
  })

  it('refuses a blob that is too long', async () => {
    const store = await openStore({ maxBlobBytes: MIB })
    await expect(store.downloads.fetch(DIGEST, sourceOf(BYTES))).rejects.toMatchObject({
      code: 'DOWNLOAD_FAILED',
      cause: { code: 'BLOB_TOO_LARGE' }
    })
  })

  it('refuses to begin with another number of hashes than pieces, or twice', async () => {
    const store = await openStore()
    await expect(
      store.downloads.fetch(DIGEST, sourceOf(BYTES, { pieceHashes: HASHES.subarray(32) }))
    ).rejects.toMatchObject({ code: 'DOWNLOAD_FAILED', cause: { name: 'RangeError' } })
    const twice: BlobSource = async (_digest, begin) => {
      await begin({ size: SIZE, cutThrough: true })
      await begin({ size: SIZE, cutThrough: true })
      return true
    }
    await store.downloads.fetch(DIGEST, twice)
    await expect(store.downloads.whole(DIGEST)).rejects.toMatchObject({ code: 'DOWNLOAD_FAILED' })
  })
})

import { digestOf } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import { bytesOf, collect, isSame, MIB, pieceOf, whole } from '../testing/bytes.ts'
import { ManualSource, sourceOf } from '../testing/sources.ts'
import { openStore, temporaryDirectory } from '../testing/stores.ts'

const BYTES = bytesOf(3 * MIB + 99)
const SIZE = BYTES.byteLength
const DIGEST = digestOf(BYTES)

describe('waiting for downloads', () => {
  it('ends for one who leaves, while the download goes on', async () => {
    const store = await openStore()
    const manual = new ManualSource()
    const leave = new AbortController()
    const fetching = store.downloads.fetch(DIGEST, manual.source, leave.signal)
    await manual.asked
    leave.abort(new Error('left'))
    await expect(fetching).rejects.toThrow('left')
    const blob = await manual.begin({ size: SIZE, cutThrough: true })
    for (const piece of [0, 1, 2, 3]) await blob.write(piece, pieceOf(BYTES, piece))
    manual.end(true)
    expect(await store.downloads.whole(DIGEST)).toEqual({ digest: DIGEST, size: SIZE })
    expect(manual.signal?.aborted).toBe(false)
  })

  it('ends for a reader who leaves in the middle of a wait', async () => {
    const store = await openStore()
    const manual = new ManualSource()
    const fetching = store.downloads.fetch(DIGEST, manual.source)
    const blob = await manual.begin({ size: SIZE, cutThrough: true })
    const reader = await fetching
    if (reader === undefined) return expect.unreachable()
    const leave = new AbortController()
    const waits = Promise.withResolvers<number>()
    blob.onAwait(waits.resolve)
    const reading = collect(reader.read(whole(reader), leave.signal))
    expect(await waits.promise).toBe(0)
    leave.abort(new Error('left'))
    await expect(reading).rejects.toThrow('left')
    expect(blob.awaitedPieces()).toEqual([])
  })

  it('does not hang a reader who takes one piece and goes', async () => {
    const store = await openStore()
    const manual = new ManualSource()
    const fetching = store.downloads.fetch(DIGEST, manual.source)
    const blob = await manual.begin({ size: SIZE, cutThrough: true })
    const reader = await fetching
    if (reader === undefined) return expect.unreachable()
    await blob.write(0, pieceOf(BYTES, 0))
    for await (const chunk of reader.read(whole(reader))) {
      expect(isSame(chunk, pieceOf(BYTES, 0))).toBe(true)
      break
    }
    expect(blob.awaitedPieces()).toEqual([])
  })

  it('lets so many run at once, the others in turn, and refuses more', async () => {
    const store = await openStore({ maxDownloads: 2, maxWaitingDownloads: 1 })
    const sources = Array.from({ length: 4 }, () => new ManualSource())
    const fetchFrom = (index: number) =>
      store.downloads
        .fetch(digestOf(bytesOf(10, index)), sources[index]?.source ?? (async () => false))
        .catch((error: unknown) => error)
    const running = [fetchFrom(0), fetchFrom(1)]
    await Promise.all([sources[0]?.asked, sources[1]?.asked])
    const others = [fetchFrom(2), fetchFrom(3)]
    expect(await Promise.race(others)).toMatchObject({ code: 'BUSY' })
    // Enough work that the source of the one who waits would have been asked.
    await store.blobs.put(DIGEST, BYTES)
    expect(sources.map(({ calls }) => calls)).toEqual([1, 1, 0, 0])
    sources[0]?.end(false)
    await Promise.race([sources[2]?.asked, sources[3]?.asked])
    for (const source of sources) source.end(false)
    expect(await Promise.all(running)).toEqual([undefined, undefined])
    expect((await Promise.all(others)).filter((outcome) => outcome === undefined)).toHaveLength(1)
  })

  it('tells that nobody brings a blob that is not here', async () => {
    const store = await openStore()
    await expect(store.downloads.whole(DIGEST)).rejects.toMatchObject({ code: 'DOWNLOAD_FAILED' })
    await store.blobs.put(DIGEST, BYTES)
    expect(await store.downloads.whole(DIGEST)).toEqual({ digest: DIGEST, size: SIZE })
  })

  it('ends with the store, for a source that listens to its signal and for one that does not', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    const manual = new ManualSource()
    const fetching = store.downloads.fetch(DIGEST, manual.source)
    const blob = await manual.begin({ size: SIZE, cutThrough: true })
    const reader = await fetching
    if (reader === undefined) return expect.unreachable()
    await blob.write(2, pieceOf(BYTES, 2))
    const reading = collect(reader.read(whole(reader)))
    const refused = expect(reading).rejects.toMatchObject({ cause: { code: 'STORE_CLOSED' } })
    await store.close()
    await refused
    expect(manual.signal?.aborted).toBe(true)
    await expect(store.downloads.fetch(DIGEST, manual.source)).rejects.toMatchObject({ code: 'STORE_CLOSED' })
    const again = await openStore({}, directory)
    const source = sourceOf(BYTES)
    await again.downloads.fetch(DIGEST, source)
    await again.downloads.whole(DIGEST)
    expect(source.brought).toEqual([0, 1, 3])
  })
})

import { digestBytes, digestOf } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import type { ContentStore, PartialBlob } from '../interfaces.ts'
import { bytesOf, collect, isSame, MIB, pieceOf, whole } from '../testing/bytes.ts'
import { ManualSource } from '../testing/sources.ts'
import { contentsOf, openStore } from '../testing/stores.ts'

const BYTES = bytesOf(2 * MIB + 99)
const SIZE = BYTES.byteLength
const DIGEST = digestOf(BYTES)
const HASHES = Buffer.concat([0, 1, 2].map((piece) => digestBytes(digestOf(pieceOf(BYTES, piece)))))

async function begun(): Promise<{ store: ContentStore; manual: ManualSource; blob: PartialBlob }> {
  const store = await openStore()
  const manual = new ManualSource()
  const fetching = store.downloads.fetch(DIGEST, manual.source)
  const blob = await manual.begin({ size: SIZE, cutThrough: true, pieceHashes: HASHES })
  await fetching
  return { store, manual, blob }
}

/** A piece with memory of its own. */
function copyOf(piece: number): Uint8Array {
  return pieceOf(BYTES, piece).slice()
}

function wrong(piece: number): Uint8Array {
  const bytes = copyOf(piece)
  bytes[70] = (bytes[70] ?? 0) ^ 1
  return bytes
}

describe('taking in pieces that are vouched for', () => {
  it('refuses other bytes, and has nothing of them', async () => {
    const { store, manual, blob } = await begun()
    await expect(blob.write(1, wrong(1))).rejects.toMatchObject({ code: 'PIECE_MISMATCH' })
    await expect(blob.write(1, wrong(1), { giveMemory: true })).rejects.toMatchObject({ code: 'PIECE_MISMATCH' })
    expect(blob.has(1)).toBe(false)
    expect(store.blobs.usedBytes()).toBe(0)
    expect(await store.blobs.readAt(DIGEST, { start: MIB, end: MIB + 1 })).toBeUndefined()
    for (const piece of [1, 0, 2]) await blob.write(piece, copyOf(piece))
    manual.end(true)
    await store.downloads.whole(DIGEST)
    expect(isSame(await contentsOf(store, DIGEST), BYTES)).toBe(true)
  })

  it.each(['wrong first', 'right first'])(
    'takes right bytes though wrong ones come at the same time: %s',
    async (order) => {
      const { store, blob } = await begun()
      const bring = [() => blob.write(0, wrong(0)), () => blob.write(0, copyOf(0))]
      if (order === 'right first') bring.reverse()
      const [one, other] = await Promise.allSettled(bring.map((write) => write()))
      const [bad, good] = order === 'right first' ? [other, one] : [one, other]
      expect(good).toMatchObject({ status: 'fulfilled' })
      // Behind the right bytes nobody looks at the wrong ones any more.
      expect(bad?.status).toBe(order === 'right first' ? 'fulfilled' : 'rejected')
      expect(isSame(await store.blobs.readAt(DIGEST, { start: 0, end: MIB }), pieceOf(BYTES, 0))).toBe(true)
      expect(store.blobs.usedBytes()).toBe(MIB)
    }
  )

  it('leaves the bytes to who did not give them', async () => {
    const { blob } = await begun()
    const bytes = copyOf(0)
    expect(await blob.write(0, bytes)).toBe(bytes)
    expect(isSame(bytes, pieceOf(BYTES, 0))).toBe(true)
  })

  it('takes memory that is given, and gives some back', async () => {
    const { store, manual, blob } = await begun()
    const fetched = store.blobs.open(DIGEST)
    let memory: Uint8Array = new Uint8Array(MIB)
    for (const piece of [1, 0]) {
      memory.set(pieceOf(BYTES, piece))
      const given = memory
      memory = await blob.write(piece, given, { giveMemory: true })
      expect(given.byteLength).toBe(0)
      expect([memory.byteLength, memory.buffer.byteLength]).toEqual([MIB, MIB])
    }
    expect(await blob.write(0, memory, { giveMemory: true })).toBe(memory)
    memory.fill(0)
    await blob.write(2, copyOf(2), { giveMemory: true })
    manual.end(true)
    const reader = await fetched
    expect(isSame(reader && (await collect(reader.read(whole(reader)))), BYTES)).toBe(true)
    await store.downloads.whole(DIGEST)
  })

  it('takes a part of some memory without taking the rest', async () => {
    const { store, blob } = await begun()
    const bytes = BYTES.slice()
    await blob.write(1, pieceOf(bytes, 1), { giveMemory: true })
    expect(isSame(bytes, BYTES)).toBe(true)
    expect(isSame(await store.blobs.readAt(DIGEST, { start: MIB, end: 2 * MIB }), pieceOf(BYTES, 1))).toBe(true)
  })
})

describe('taking in pieces one by one', () => {
  it('refuses other bytes than those of the hash that is given with them, and tells the hash of what is here', async () => {
    const store = await openStore()
    const manual = new ManualSource()
    const fetching = store.downloads.fetch(DIGEST, manual.source)
    const blob = await manual.begin({ size: SIZE, cutThrough: true })
    await fetching
    const hash = HASHES.subarray(32, 64)
    await expect(blob.write(1, wrong(1), { hash })).rejects.toMatchObject({ code: 'PIECE_MISMATCH' })
    expect([blob.has(1), blob.pieceHash(1)]).toEqual([false, undefined])
    await blob.write(1, copyOf(1), { hash })
    await blob.write(0, copyOf(0))
    expect([0, 1].map((piece) => Buffer.from(blob.pieceHash(piece) ?? []))).toEqual([HASHES.subarray(0, 32), hash])
    expect(blob.pieceHash(2)).toBeUndefined()
  })
})

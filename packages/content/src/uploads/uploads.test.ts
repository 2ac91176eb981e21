import { readdir } from 'node:fs/promises'
import { digestOf, ownRepository } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import type { ContentStore, Upload } from '../interfaces.ts'
import { bytesOf, chunksOf, isSame, MIB, pieceOf } from '../testing/bytes.ts'
import { contentsOf, openStore, temporaryDirectory } from '../testing/stores.ts'

const REPOSITORY = ownRepository('team/app')
const BYTES = bytesOf(2 * MIB + 777)
const SIZE = BYTES.byteLength
const DIGEST = digestOf(BYTES)

async function resumed(store: ContentStore, upload: Upload): Promise<Upload> {
  const again = await store.uploads.get(REPOSITORY, upload.id)
  if (again === undefined) throw new Error('the upload is gone')
  return again
}

describe('an upload', () => {
  it('becomes a blob that is linked in its repository', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    const upload = await store.uploads.create(REPOSITORY)
    expect(await upload.append(chunksOf(BYTES))).toBe(SIZE)
    expect(await upload.commit(DIGEST)).toEqual({ digest: DIGEST, size: SIZE })
    expect(isSame(await contentsOf(store, DIGEST), BYTES)).toBe(true)
    expect(await store.repositories.hasBlob(REPOSITORY, DIGEST)).toBe(true)
    expect(await store.uploads.get(REPOSITORY, upload.id)).toBeUndefined()
    expect(await readdir(`${directory}/uploads`)).toEqual([])
    const pieces = await store.blobs.pieceHashes(DIGEST)
    const expected = [0, 1, 2].map((piece) => digestOf(pieceOf(BYTES, piece)).slice('sha256:'.length))
    expect(Buffer.from(pieces?.hashes ?? []).toString('hex')).toBe(expected.join(''))
  })

  it.each([
    ['bytes', 1, 3000],
    ['odd chunks', 4097, SIZE],
    ['large chunks', 5 * MIB, SIZE]
  ])('takes %s', async (_, chunkLength, length) => {
    const store = await openStore()
    const bytes = BYTES.subarray(0, length)
    const upload = await store.uploads.create(REPOSITORY)
    await upload.append(chunksOf(bytes, chunkLength))
    await upload.commit(digestOf(bytes))
    expect(isSame(await contentsOf(store, digestOf(bytes)), bytes)).toBe(true)
  })

  it('does not keep hold of chunks whose memory is used again', async () => {
    const store = await openStore()
    const upload = await store.uploads.create(REPOSITORY)
    const scratch = new Uint8Array(1000)
    await upload.append(
      (async function* () {
        for await (const chunk of chunksOf(BYTES, scratch.byteLength)) {
          scratch.set(chunk)
          yield scratch.subarray(0, chunk.byteLength)
        }
      })()
    )
    expect(await upload.commit(DIGEST)).toEqual({ digest: DIGEST, size: SIZE })
  })

  it('is appended to in turns, also across restarts', async () => {
    const directory = await temporaryDirectory()
    let store = await openStore({}, directory)
    let upload = await store.uploads.create(REPOSITORY)
    const cuts = [0, 10, MIB + 1, MIB + 1, 2 * MIB, SIZE]
    for (const [index, cut] of cuts.slice(0, -1).entries()) {
      const end = cuts[index + 1] ?? SIZE
      expect(await upload.append(chunksOf(BYTES.subarray(cut, end)), { start: cut, length: end - cut })).toBe(end)
      await store.close()
      store = await openStore({}, directory)
      upload = await resumed(store, upload)
      expect(upload.offset).toBe(end)
    }
    await upload.commit(DIGEST)
    expect(isSame(await contentsOf(store, DIGEST), BYTES)).toBe(true)
  })

  it.each(['sha256', 'sha512'] as const)('is committed under a %s digest', async (algorithm) => {
    const store = await openStore()
    const digest = digestOf(BYTES, algorithm)
    const upload = await store.uploads.create(REPOSITORY)
    await upload.append(chunksOf(BYTES))
    await upload.commit(digest)
    expect(isSame(await contentsOf(store, digest), BYTES)).toBe(true)
  })

  it('may be empty', async () => {
    const store = await openStore()
    const digest = digestOf(new Uint8Array(0))
    const untouched = await store.uploads.create(REPOSITORY)
    expect(await untouched.commit(digest)).toEqual({ digest, size: 0 })
    const appended = await store.uploads.create(REPOSITORY)
    expect(await appended.append(chunksOf(new Uint8Array(0)), { start: 0, length: 0 })).toBe(0)
    expect(await appended.commit(digest)).toEqual({ digest, size: 0 })
  })

  it('ends on a wrong digest, and nothing of it stays', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    for (const algorithm of ['sha256', 'sha512'] as const) {
      const upload = await store.uploads.create(REPOSITORY)
      await upload.append(chunksOf(BYTES))
      const wrong = digestOf(bytesOf(1), algorithm)
      await expect(upload.commit(wrong)).rejects.toMatchObject({ code: 'DIGEST_INVALID' })
      expect(await store.uploads.get(REPOSITORY, upload.id)).toBeUndefined()
      await expect(upload.append(chunksOf(BYTES))).rejects.toMatchObject({ code: 'BLOB_UPLOAD_UNKNOWN' })
      expect(await store.blobs.stat(wrong)).toBeUndefined()
    }
    expect(await readdir(`${directory}/uploads`)).toEqual([])
    expect(await store.repositories.exists(REPOSITORY)).toBe(false)
  })

  it('of a blob that is here only links it', async () => {
    const store = await openStore()
    await store.blobs.put(DIGEST, BYTES)
    const upload = await store.uploads.create(REPOSITORY)
    await upload.append(chunksOf(BYTES))
    expect(await upload.commit(DIGEST)).toEqual({ digest: DIGEST, size: SIZE })
    expect(await store.repositories.hasBlob(REPOSITORY, DIGEST)).toBe(true)
    expect(store.blobs.count()).toBe(1)
    expect(store.blobs.usedBytes()).toBe(SIZE)
  })

  it('is committed by many at once, and the blob is kept once', async () => {
    const store = await openStore()
    const uploads = await Promise.all(Array.from({ length: 5 }, () => store.uploads.create(REPOSITORY)))
    await Promise.all(
      uploads.map(async (upload) => {
        await upload.append(chunksOf(BYTES))
        await upload.commit(DIGEST)
      })
    )
    expect(store.blobs.count()).toBe(1)
    expect(isSame(await contentsOf(store, DIGEST), BYTES)).toBe(true)
  })
})

import { existsSync } from 'node:fs'
import { readdir, stat, writeFile } from 'node:fs/promises'
import { digestOf, ownRepository } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import type { ContentStore, Upload } from '../interfaces.ts'
import { brokenOff, bytesOf, chunksOf, collect, MIB, pieceOf, whole } from '../testing/bytes.ts'
import { openFilesBelow, openStore, temporaryDirectory } from '../testing/stores.ts'

const REPOSITORY = ownRepository('team/app')
const BYTES = bytesOf(2 * MIB + 777)
const SIZE = BYTES.byteLength
const DIGEST = digestOf(BYTES)

async function contents(store: ContentStore, digest = DIGEST): Promise<Uint8Array> {
  const reader = await store.blobs.open(digest)
  return reader === undefined ? new Uint8Array(0) : collect(reader.read(whole(reader)))
}

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
    expect(Buffer.compare(await contents(store), BYTES)).toBe(0)
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
    expect(Buffer.compare(await contents(store, digestOf(bytes)), bytes)).toBe(0)
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
    expect(Buffer.compare(await contents(store), BYTES)).toBe(0)
  })

  it.each(['sha256', 'sha512'] as const)('is committed under a %s digest', async (algorithm) => {
    const store = await openStore()
    const digest = digestOf(BYTES, algorithm)
    const upload = await store.uploads.create(REPOSITORY)
    await upload.append(chunksOf(BYTES))
    await upload.commit(digest)
    expect(Buffer.compare(await contents(store, digest), BYTES)).toBe(0)
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
    expect(Buffer.compare(await contents(store), BYTES)).toBe(0)
  })
})

describe('an append', () => {
  it('is refused when it does not start at the offset', async () => {
    const store = await openStore()
    const upload = await store.uploads.create(REPOSITORY)
    await upload.append(chunksOf(BYTES.subarray(0, 100)))
    for (const start of [0, 99, 101]) {
      await expect(upload.append(chunksOf(BYTES), { start })).rejects.toMatchObject({
        code: 'RANGE_INVALID',
        detail: { offset: 100 }
      })
    }
    expect(upload.offset).toBe(100)
    await upload.append(chunksOf(BYTES.subarray(100)), { start: 100 })
    expect(await upload.commit(DIGEST)).toEqual({ digest: DIGEST, size: SIZE })
  })

  it.each([
    ['fewer', SIZE - 1],
    ['more', SIZE + 1]
  ])('changes nothing when %s bytes were announced', async (_, length) => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    const upload = await store.uploads.create(REPOSITORY)
    await upload.append(chunksOf(BYTES.subarray(0, 100)))
    await expect(upload.append(chunksOf(BYTES), { length })).rejects.toMatchObject({ code: 'SIZE_INVALID' })
    expect(upload.offset).toBe(100)
    expect((await stat(`${directory}/uploads/${upload.id}`)).size).toBe(100)
    await upload.append(chunksOf(BYTES.subarray(100)))
    expect(await upload.commit(DIGEST)).toEqual({ digest: DIGEST, size: SIZE })
  })

  it('that breaks off keeps what came, durably', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    const upload = await store.uploads.create(REPOSITORY)
    const cut = MIB + 4321
    const lost = new Error('connection lost')
    await expect(upload.append(brokenOff(BYTES.subarray(0, cut), lost))).rejects.toBe(lost)
    expect(upload.offset).toBe(cut)
    await store.close()
    const again = await resumed(await openStore({}, directory), upload)
    expect(again.offset).toBe(cut)
    await again.append(chunksOf(BYTES.subarray(cut)), { start: cut })
    expect(await again.commit(DIGEST)).toEqual({ digest: DIGEST, size: SIZE })
  })

  it('that breaks off before its announced length changes nothing', async () => {
    const store = await openStore()
    const upload = await store.uploads.create(REPOSITORY)
    const lost = new Error('connection lost')
    const chunks = brokenOff(BYTES.subarray(0, MIB + 5), lost)
    await expect(upload.append(chunks, { length: SIZE })).rejects.toBe(lost)
    expect(upload.offset).toBe(0)
    await upload.append(chunksOf(BYTES))
    expect(await upload.commit(DIGEST)).toEqual({ digest: DIGEST, size: SIZE })
  })

  it('ends when its signal aborts, though its source stalls, and keeps what came', async () => {
    const store = await openStore()
    const upload = await store.uploads.create(REPOSITORY)
    const stop = new AbortController()
    const stalling = (async function* () {
      yield BYTES.subarray(0, 500)
      stop.abort(new Error('too slow'))
      await new Promise(() => {})
    })()
    await expect(upload.append(stalling, { signal: stop.signal })).rejects.toThrow('too slow')
    expect(upload.offset).toBe(500)
  })

  it('that was taken back is out of the hash too', async () => {
    const store = await openStore()
    await store.blobs.put(digestOf(BYTES.subarray(1)), BYTES.subarray(1))
    const upload = await store.uploads.create(REPOSITORY)
    await upload.append(chunksOf(BYTES.subarray(0, 100)))
    const hashed = (async function* () {
      yield bytesOf(MIB + 1, 3)
      // The hashing threads take jobs in turn: after these, what was written is hashed.
      const range = { start: 0, end: MIB }
      for (let read = 0; read < 10; read++) await store.blobs.readAt(digestOf(BYTES.subarray(1)), range)
    })()
    await expect(upload.append(hashed, { length: SIZE })).rejects.toMatchObject({ code: 'SIZE_INVALID' })
    await upload.append(chunksOf(BYTES.subarray(100)))
    expect(await upload.commit(DIGEST)).toEqual({ digest: DIGEST, size: SIZE })
  })

  it('leaves a file that the disk did not cut to be cut by the commit', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    const upload = await store.uploads.create(REPOSITORY)
    await upload.append(chunksOf(BYTES))
    await writeFile(`${directory}/uploads/${upload.id}`, 'not acknowledged', { flag: 'a' })
    await upload.commit(DIGEST)
    expect(Buffer.compare(await contents(store), BYTES)).toBe(0)
  })

  it('is refused while another runs, and so is a commit', async () => {
    const store = await openStore()
    const upload = await store.uploads.create(REPOSITORY)
    const gate = Promise.withResolvers<void>()
    const slow = upload.append(
      (async function* () {
        yield BYTES.subarray(0, 10)
        await gate.promise
        yield BYTES.subarray(10)
      })()
    )
    await expect(upload.append(chunksOf(BYTES))).rejects.toMatchObject({ code: 'RANGE_INVALID' })
    await expect(upload.commit(DIGEST)).rejects.toMatchObject({ code: 'RANGE_INVALID' })
    gate.resolve()
    expect(await slow).toBe(SIZE)
    expect(await upload.commit(DIGEST)).toEqual({ digest: DIGEST, size: SIZE })
  })

  it('that is too large changes nothing', async () => {
    const store = await openStore({ maxBlobBytes: MIB })
    const upload = await store.uploads.create(REPOSITORY)
    await upload.append(chunksOf(BYTES.subarray(0, 100)))
    await expect(upload.append(chunksOf(BYTES.subarray(100, MIB + 1)))).rejects.toMatchObject({
      code: 'BLOB_UPLOAD_INVALID'
    })
    expect(upload.offset).toBe(100)
    expect(await upload.append(chunksOf(BYTES.subarray(100, MIB)))).toBe(MIB)
  })
})

describe('upload sessions', () => {
  it('have ids that differ and are found only in their repository', async () => {
    const store = await openStore()
    const one = await store.uploads.create(REPOSITORY)
    const other = await store.uploads.create(REPOSITORY)
    expect(one.id).toMatch(/^[0-9a-f]{32}$/)
    expect(one.id).not.toBe(other.id)
    expect(await store.uploads.get(REPOSITORY, one.id)).toBe(one)
    expect(await store.uploads.get(ownRepository('team/other'), one.id)).toBeUndefined()
    expect(await store.uploads.get(REPOSITORY, '../../../etc/passwd')).toBeUndefined()
  })

  it('are refused when too many are open, in one repository and in all', async () => {
    const store = await openStore({ maxUploads: 3, maxUploadsPerRepository: 2 })
    const first = await store.uploads.create(REPOSITORY)
    await store.uploads.create(REPOSITORY)
    await expect(store.uploads.create(REPOSITORY)).rejects.toMatchObject({ code: 'TOOMANYREQUESTS' })
    await store.uploads.create(ownRepository('b'))
    await expect(store.uploads.create(ownRepository('c'))).rejects.toMatchObject({ code: 'TOOMANYREQUESTS' })
    await first.cancel()
    await store.uploads.create(ownRepository('c'))
  })

  it('stay within their bound when they are asked for all at once', async () => {
    const store = await openStore({ maxUploads: 3 })
    const made = await Promise.allSettled(Array.from({ length: 10 }, () => store.uploads.create(REPOSITORY)))
    expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(3)
  })

  it('end when they are cancelled, also in the middle of an append', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    const upload = await store.uploads.create(REPOSITORY)
    const stalled = Promise.withResolvers<void>()
    const append = upload.append(
      (async function* () {
        yield BYTES
        stalled.resolve()
        await new Promise(() => {})
      })()
    )
    const refused = expect(append).rejects.toMatchObject({ code: 'BLOB_UPLOAD_UNKNOWN' })
    await stalled.promise
    await upload.cancel()
    await refused
    expect(await store.uploads.get(REPOSITORY, upload.id)).toBeUndefined()
    expect(existsSync(`${directory}/uploads/${upload.id}`)).toBe(false)
    await expect(upload.commit(DIGEST)).rejects.toMatchObject({ code: 'BLOB_UPLOAD_UNKNOWN' })
  })

  it('end when nothing was appended for long, and not before', async () => {
    let now = 1_000_000
    const directory = await temporaryDirectory()
    const store = await openStore({ now: () => now, uploadIdleMs: 1000, uploadSweepMs: 1 }, directory)
    const idle = await store.uploads.create(REPOSITORY)
    const busy = await store.uploads.create(REPOSITORY)
    now += 999
    await busy.append(chunksOf(BYTES))
    now += 2
    await expect.poll(() => store.uploads.get(REPOSITORY, idle.id)).toBeUndefined()
    expect(await store.uploads.get(REPOSITORY, busy.id)).toBe(busy)
    await expect(idle.append(chunksOf(BYTES))).rejects.toMatchObject({ code: 'BLOB_UPLOAD_UNKNOWN' })
  })

  it('hold no file open between appends', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    const uploads = await Promise.all(Array.from({ length: 5 }, () => store.uploads.create(REPOSITORY)))
    await Promise.all(uploads.map((upload) => upload.append(chunksOf(BYTES))))
    await expect.poll(() => openFilesBelow(`${directory}/uploads`)).toEqual([])
  })

  it('break off when the store closes, and go on after the restart', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    const upload = await store.uploads.create(REPOSITORY)
    const stalled = Promise.withResolvers<void>()
    const append = upload.append(
      (async function* () {
        yield BYTES.subarray(0, 1000)
        stalled.resolve()
        await new Promise(() => {})
      })()
    )
    const refused = expect(append).rejects.toMatchObject({ code: 'STORE_CLOSED' })
    await stalled.promise
    await store.close()
    await refused
    const again = await resumed(await openStore({}, directory), upload)
    expect(again.offset).toBe(1000)
  })
})

import { stat, writeFile } from 'node:fs/promises'
import { digestOf, OciError, ownRepository } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import type { ContentStore, Upload } from '../interfaces.ts'
import { brokenOff, bytesOf, chunksOf, isSame, MIB } from '../testing/bytes.ts'
import { createFaultyFileSystem } from '../testing/faulty-file-system.ts'
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
    expect(isSame(await contentsOf(store, DIGEST), BYTES)).toBe(true)
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

  it('that is too large ends the session, and frees what it took', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({ maxBlobBytes: MIB, maxUploadsPerRepository: 1 }, directory)
    const upload = await store.uploads.create(REPOSITORY)
    await upload.append(chunksOf(BYTES.subarray(0, 100)))
    await expect(upload.append(chunksOf(BYTES.subarray(100, MIB + 1)))).rejects.toMatchObject({
      code: 'BLOB_UPLOAD_INVALID'
    })
    await expectEnded(store, directory, upload)
    const next = await store.uploads.create(REPOSITORY)
    expect(await next.append(chunksOf(BYTES.subarray(0, MIB)))).toBe(MIB)
  })

  it('that finds no space ends the session if no byte was acknowledged, and frees what it took', async () => {
    const directory = await temporaryDirectory()
    const disk = createFaultyFileSystem()
    const store = await openStore({ fileSystem: disk, maxUploadsPerRepository: 1 }, directory)
    const upload = await store.uploads.create(REPOSITORY)
    disk.roomBytes = MIB
    await expect(upload.append(chunksOf(BYTES))).rejects.toMatchObject({ code: 'DISK_FULL' })
    await expectEnded(store, directory, upload)
    expect(store.space().usedBytes).toBe(0)
    disk.roomBytes = SIZE
    const next = await store.uploads.create(REPOSITORY)
    await next.append(chunksOf(BYTES))
    expect(await next.commit(DIGEST)).toEqual({ digest: DIGEST, size: SIZE })
    await store.close()
    expect(await (await openStore({}, directory)).uploads.get(REPOSITORY, upload.id)).toBeUndefined()
  })

  it('that a client is too slow for, which has the code of one that is too large, keeps what came', async () => {
    const store = await openStore()
    const upload = await store.uploads.create(REPOSITORY)
    const slow = brokenOff(BYTES.subarray(0, 1000), new OciError('BLOB_UPLOAD_INVALID', 'no byte came'))
    await expect(upload.append(slow)).rejects.toMatchObject({ code: 'BLOB_UPLOAD_INVALID' })
    expect((await resumed(store, upload)).offset).toBe(1000)
  })
})

async function expectEnded(store: ContentStore, directory: string, upload: Upload): Promise<void> {
  expect(await store.uploads.get(REPOSITORY, upload.id)).toBeUndefined()
  await expect(stat(`${directory}/uploads/${upload.id}`)).rejects.toThrow('ENOENT')
  await expect(upload.append(chunksOf(BYTES))).rejects.toMatchObject({ code: 'BLOB_UPLOAD_UNKNOWN' })
}

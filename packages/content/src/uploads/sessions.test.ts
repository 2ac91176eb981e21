import { existsSync } from 'node:fs'
import { digestOf, ownRepository } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import type { ContentStore, Upload } from '../interfaces.ts'
import { bytesOf, chunksOf, isSame, MIB } from '../testing/bytes.ts'
import { contentsOf, openFilesBelow, openStore, PATIENT, temporaryDirectory } from '../testing/stores.ts'

const REPOSITORY = ownRepository('team/app')
const BYTES = bytesOf(2 * MIB + 777)
const DIGEST = digestOf(BYTES)

async function resumed(store: ContentStore, upload: Upload): Promise<Upload> {
  const again = await store.uploads.get(REPOSITORY, upload.id)
  if (again === undefined) throw new Error('the upload is gone')
  return again
}

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
    await expect.poll(() => store.uploads.get(REPOSITORY, idle.id), PATIENT).toBeUndefined()
    expect(await store.uploads.get(REPOSITORY, busy.id)).toBe(busy)
    await expect(idle.append(chunksOf(BYTES))).rejects.toMatchObject({ code: 'BLOB_UPLOAD_UNKNOWN' })
  })

  it('hold no file open between appends', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    const uploads = await Promise.all(Array.from({ length: 5 }, () => store.uploads.create(REPOSITORY)))
    await Promise.all(uploads.map((upload) => upload.append(chunksOf(BYTES))))
    await expect.poll(() => openFilesBelow(`${directory}/uploads`), PATIENT).toEqual([])
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

  it('are committed or still there when the store closes in the middle of a commit', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    const upload = await store.uploads.create(REPOSITORY)
    await upload.append(chunksOf(BYTES))
    const commit = upload.commit(DIGEST).catch((error: unknown) => error)
    await store.close()
    const outcome = await commit
    const again = await openStore({}, directory)
    const left = await again.uploads.get(REPOSITORY, upload.id)
    if (outcome instanceof Error) {
      expect(outcome).toMatchObject({ code: 'STORE_CLOSED' })
      expect(await left?.commit(DIGEST)).toEqual({ digest: DIGEST, size: BYTES.byteLength })
    }
    expect(isSame(await contentsOf(again, DIGEST), BYTES)).toBe(true)
  })
})

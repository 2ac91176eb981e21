import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { digestOf, ownRepository, parseTag } from '@layermesh/oci'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createLayout } from './disk/layout.ts'
import { createDatabase, Metadata } from './metadata/metadata.ts'
import { createTables } from './metadata/tables.ts'
import { bytesOf, chunksOf, collect, MIB, whole } from './testing/bytes.ts'
import { ManualSource } from './testing/sources.ts'
import { hashThreads, openFilesBelow, openStore, temporaryDirectory } from './testing/stores.ts'

const BYTES = bytesOf(4 * MIB)
const DIGEST = digestOf(BYTES)
const REPOSITORY = ownRepository('a')
const BRIEF_USE = fileURLToPath(new URL('./testing/brief-use.ts', import.meta.url))

describe('a content store', () => {
  it('makes its directory, for its owner alone', async () => {
    const directory = `${await temporaryDirectory()}/deep/below`
    await openStore({}, directory)
    expect((await stat(directory)).mode & 0o777).toBe(0o700)
    expect((await stat(`${directory}/blobs`)).mode & 0o777).toBe(0o700)
  })

  it('refuses a directory of another format', async () => {
    const directory = await temporaryDirectory()
    await (await openStore({}, directory)).close()
    const metadata = await Metadata.open(createDatabase(createLayout(directory).metadata))
    await metadata.write([createTables(metadata).store.put(['format'], 'of tomorrow')])
    await metadata.close()
    await expect(openStore({}, directory)).rejects.toMatchObject({ code: 'STORE_FORMAT' })
    expect(await openFilesBelow(directory)).toEqual([])
  })

  it('leaves nothing open when it closes, whatever goes on', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    await store.blobs.put(DIGEST, BYTES)
    const reader = await store.blobs.open(DIGEST)
    const reading = reader?.read(whole(reader))[Symbol.asyncIterator]()
    await reading?.next()
    const upload = await store.uploads.create(REPOSITORY)
    const append = upload.append(
      (async function* () {
        yield BYTES
        await new Promise(() => {})
      })()
    )
    const broken = expect(append).rejects.toMatchObject({ code: 'STORE_CLOSED' })
    const manual = new ManualSource()
    const other = digestOf(bytesOf(9))
    const fetching = store.downloads.fetch(other, manual.source)
    await manual.begin({ size: 9, cutThrough: true })
    const waiting = await fetching
    const unserved = expect(waiting && collect(waiting.read(whole(waiting)))).rejects.toMatchObject({
      code: 'DOWNLOAD_FAILED'
    })
    expect(await hashThreads()).toBeGreaterThan(0)
    await Promise.all([store.close(), store.close()])
    await Promise.all([broken, unserved])
    expect(await openFilesBelow(directory)).toEqual([])
    expect(await hashThreads()).toBe(0)
    const rest = (async () => {
      while (!(await reading?.next())?.done);
    })()
    await expect(rest).rejects.toMatchObject({ code: 'STORE_CLOSED' })
  })

  it('lets a process end by itself once it is closed, and not before its work is done', async () => {
    const args = ['--conditions=layermesh-source', BRIEF_USE, await temporaryDirectory()]
    const user = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    onTestFinished(() => void user.kill('SIGKILL'))
    const exited = once(user, 'exit')
    expect((await collect(user.stdout)).byteLength).toBe('closed\n'.length)
    expect(await exited).toEqual([0, null])
  })

  it('refuses everything after it was closed', async () => {
    const store = await openStore()
    await store.blobs.put(DIGEST, BYTES)
    const upload = await store.uploads.create(REPOSITORY)
    const reader = await store.blobs.open(DIGEST)
    await store.close()
    const closed = { code: 'STORE_CLOSED' }
    await expect(store.blobs.put(digestOf(bytesOf(1)), bytesOf(1))).rejects.toMatchObject(closed)
    await expect(store.blobs.stat(DIGEST)).rejects.toMatchObject(closed)
    await expect(store.blobs.open(DIGEST)).rejects.toMatchObject(closed)
    await expect(reader && collect(reader.read(whole(reader)))).rejects.toMatchObject(closed)
    await expect(store.downloads.fetch(DIGEST, async () => false)).rejects.toMatchObject(closed)
    await expect(store.uploads.create(REPOSITORY)).rejects.toMatchObject(closed)
    await expect(upload.append(chunksOf(BYTES))).rejects.toThrow()
    await expect(store.repositories.list({ limit: 1 })).rejects.toMatchObject(closed)
    await expect(store.tags.get(REPOSITORY, parseTag('x'))).rejects.toMatchObject(closed)
  })

  it('keeps signed piece maps', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    const envelope = bytesOf(100)
    expect(await store.pieceMaps.get(DIGEST)).toBeUndefined()
    await store.pieceMaps.put(DIGEST, envelope)
    await store.close()
    const { pieceMaps } = await openStore({}, directory)
    expect(new Uint8Array((await pieceMaps.get(DIGEST)) ?? [])).toEqual(envelope)
    await pieceMaps.delete(DIGEST)
    expect(await pieceMaps.get(DIGEST)).toBeUndefined()
  })
})

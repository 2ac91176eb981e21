import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { FileHandle } from '../disk/file-system.ts'
import { Files, StoredFile } from '../disk/files.ts'
import { FreeSpace } from '../disk/free-space.ts'
import { bytesOf, MIB } from '../testing/bytes.ts'
import { createFaultyFileSystem } from '../testing/faulty-file-system.ts'
import { PATIENT, temporaryDirectory } from '../testing/stores.ts'
import { ChunkWriter } from './chunk-writer.ts'

const space = new FreeSpace({ freeBytes: async () => Number.MAX_SAFE_INTEGER, now: () => 0 }, 0)

/** A file whose writes end when the test says so. */
function slowFile() {
  const writes: { position: number; length: number; end: () => void }[] = []
  const syncs = { count: 0 }
  const handle = {
    fd: -1,
    write: (_bytes: Uint8Array, _offset: number, length: number, position: number) =>
      new Promise((resolve) => {
        writes.push({ position, length, end: () => resolve({ bytesWritten: length }) })
      }),
    datasync: async () => {
      syncs.count++
    }
  } as unknown as FileHandle
  return { file: new StoredFile(handle, () => {}), writes, syncs }
}

describe('chunk writer', () => {
  it('gathers small chunks into writes of 1 MiB', async () => {
    const { file, writes, syncs } = slowFile()
    const ends: number[] = []
    const writer = new ChunkWriter({ file, space, onWritten: (end) => ends.push(end) }, 100)
    for (let chunk = 0; chunk < 16; chunk++) await writer.add(new Uint8Array(MIB / 16))
    await writer.add(new Uint8Array(5))
    const flushed = writer.flush()
    await expect.poll(() => writes, PATIENT).toHaveLength(1)
    writes[0]?.end()
    await expect.poll(() => writes, PATIENT).toHaveLength(2)
    writes[1]?.end()
    await flushed
    expect(writes.map(({ position, length }) => [position, length])).toEqual([
      [100, MIB],
      [100 + MIB, 5]
    ])
    expect(ends).toEqual([100 + MIB, 105 + MIB])
    expect(writer.end).toBe(105 + MIB)
    expect(syncs.count).toBe(1)
  })

  it('takes nothing more while one buffer is written and the other is full', async () => {
    const { file, writes } = slowFile()
    const writer = new ChunkWriter({ file, space, onWritten: () => {} }, 0)
    await writer.add(new Uint8Array(MIB))
    let taken = false
    const second = writer.add(new Uint8Array(MIB)).then(() => {
      taken = true
    })
    await expect.poll(() => writes, PATIENT).toHaveLength(1)
    expect(taken).toBe(false)
    writes[0]?.end()
    await second
    expect(taken).toBe(true)
    await expect.poll(() => writes, PATIENT).toHaveLength(2)
    writes[1]?.end()
    await writer.flush()
  })

  it('tells of a write that failed with the next chunk or the flush', async () => {
    const system = createFaultyFileSystem()
    const file = await new Files(system).create(join(await temporaryDirectory(), 'file'))
    system.roomBytes = MIB + 10
    const writer = new ChunkWriter({ file, space, onWritten: () => {} }, 0)
    await writer.add(bytesOf(2 * MIB))
    await expect(writer.flush()).rejects.toMatchObject({ code: 'DISK_FULL' })
    await file.close()
  })

  it('tells of a sync that failed on the way, though a later one does not', async () => {
    const system = createFaultyFileSystem()
    const file = await new Files(system).create(join(await temporaryDirectory(), 'file'))
    const writer = new ChunkWriter({ file, space, onWritten: () => {} }, 0)
    system.failSync = true
    for (let chunk = 0; chunk < 34; chunk++) await writer.add(new Uint8Array(MIB))
    await expect.poll(() => system.failSync, PATIENT).toBe(false)
    await expect(writer.flush()).rejects.toMatchObject({ code: 'EIO' })
    await file.close()
  })

  it('settles only after the write that is under way', async () => {
    const { file, writes } = slowFile()
    const writer = new ChunkWriter({ file, space, onWritten: () => {} }, 0)
    await writer.add(new Uint8Array(MIB))
    let settled = false
    const settling = writer.settle().then(() => {
      settled = true
    })
    await expect.poll(() => writes, PATIENT).toHaveLength(1)
    expect(settled).toBe(false)
    writes[0]?.end()
    await settling
  })
})

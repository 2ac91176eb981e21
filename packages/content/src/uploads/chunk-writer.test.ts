import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { FileHandle } from '../disk/file-system.ts'
import { Files, StoredFile } from '../disk/files.ts'
import { bytesOf, MIB } from '../testing/bytes.ts'
import { createFaultyFileSystem } from '../testing/faulty-file-system.ts'
import { PATIENT, temporaryDirectory } from '../testing/stores.ts'
import { ChunkWriter, type ChunkWriterComponents } from './chunk-writer.ts'

const onWrite: ChunkWriterComponents['onWrite'] = async (bytes) => bytes

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

const take = async () => {}

describe('chunk writer', () => {
  it('gathers small chunks into writes of 1 MiB that begin where pieces do', async () => {
    const { file, writes, syncs } = slowFile()
    const ends: number[] = []
    const writer = new ChunkWriter({ file, take, onWrite, onWritten: (end) => ends.push(end) }, 100)
    for (let chunk = 0; chunk < 32; chunk++) await writer.add(new Uint8Array(MIB / 16))
    const flushed = writer.flush()
    for (const write of [0, 1, 2]) {
      await expect.poll(() => writes, PATIENT).toHaveLength(write + 1)
      writes[write]?.end()
    }
    await flushed
    expect(writes.map(({ position, length }) => [position, length])).toEqual([
      [100, MIB - 100],
      [MIB, MIB],
      [2 * MIB, 100]
    ])
    expect(ends).toEqual([MIB, 2 * MIB, 2 * MIB + 100])
    expect(writer.end).toBe(2 * MIB + 100)
    expect(syncs.count).toBe(1)
  })

  it('takes nothing more while two buffers are under way and the third is full', async () => {
    const { file, writes } = slowFile()
    const writer = new ChunkWriter({ file, take, onWrite, onWritten: () => {} }, 0)
    await writer.add(new Uint8Array(2 * MIB))
    let taken = false
    const third = writer.add(new Uint8Array(MIB)).then(() => {
      taken = true
    })
    await expect.poll(() => writes, PATIENT).toHaveLength(1)
    expect(taken).toBe(false)
    writes[0]?.end()
    await third
    for (const write of [1, 2]) {
      await expect.poll(() => writes, PATIENT).toHaveLength(write + 1)
      writes[write]?.end()
    }
    await writer.flush()
  })

  it('shows bytes in order before it writes them, while those before are being written', async () => {
    const { file, writes } = slowFile()
    const shown: number[] = []
    const show: typeof onWrite = async (bytes, position) => {
      shown.push(position)
      const { byteLength } = bytes
      return new Uint8Array(bytes.buffer.transfer(), 0, byteLength)
    }
    const writer = new ChunkWriter({ file, take, onWrite: show, onWritten: () => {} }, 0)
    await writer.add(new Uint8Array(2 * MIB))
    expect(shown).toEqual([0, MIB])
    await expect.poll(() => writes, PATIENT).toHaveLength(1)
    writes[0]?.end()
    await expect.poll(() => writes, PATIENT).toHaveLength(2)
    writes[1]?.end()
    await writer.add(bytesOf(MIB))
    await writer.add(bytesOf(7))
    const flushed = writer.flush()
    for (const write of [2, 3]) {
      await expect.poll(() => writes, PATIENT).toHaveLength(write + 1)
      writes[write]?.end()
    }
    await flushed
    expect(writes.map(({ length }) => length)).toEqual([MIB, MIB, MIB, 7])
  })

  it('writes nothing that could not be shown, and tells of it', async () => {
    const { file, writes } = slowFile()
    const show: typeof onWrite = async () => Promise.reject(new Error('not today'))
    const writer = new ChunkWriter({ file, take, onWrite: show, onWritten: () => {} }, 0)
    await writer.add(new Uint8Array(10))
    await expect(writer.flush()).rejects.toThrow('not today')
    await writer.settle()
    expect(writes).toEqual([])
  })

  it('tells of a write that failed with the next chunk or the flush', async () => {
    const system = createFaultyFileSystem()
    const file = await new Files(system).create(join(await temporaryDirectory(), 'file'))
    system.roomBytes = MIB + 10
    const writer = new ChunkWriter({ file, take, onWrite, onWritten: () => {} }, 0)
    await writer.add(bytesOf(2 * MIB))
    await expect(writer.flush()).rejects.toMatchObject({ code: 'DISK_FULL' })
    await file.close()
  })

  it('tells of a sync that failed on the way, though a later one does not', async () => {
    const system = createFaultyFileSystem()
    const file = await new Files(system).create(join(await temporaryDirectory(), 'file'))
    const writer = new ChunkWriter({ file, take, onWrite, onWritten: () => {} }, 0)
    system.failSync = true
    for (let chunk = 0; chunk < 34; chunk++) await writer.add(new Uint8Array(MIB))
    await expect.poll(() => system.failSync, PATIENT).toBe(false)
    await expect(writer.flush()).rejects.toMatchObject({ code: 'EIO' })
    await file.close()
  })

  it('settles only after the write that is under way', async () => {
    const { file, writes } = slowFile()
    const writer = new ChunkWriter({ file, take, onWrite, onWritten: () => {} }, 0)
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

import { createHash } from 'node:crypto'
import { open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Files } from '../disk/files.ts'
import { bytesOf, MIB } from '../testing/bytes.ts'
import { createFaultyFileSystem } from '../testing/faulty-file-system.ts'
import { hashThreads, PATIENT, temporaryDirectory } from '../testing/stores.ts'
import { hashFilePieces } from './file-pieces.ts'
import { HashPool } from './hash-pool.ts'
import { RunningHash } from './running-hash.ts'

const BYTES = bytesOf(20 * MIB + 5)

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function hex(bytes: Uint8Array | readonly number[]): string {
  return Buffer.from(bytes).toString('hex')
}

async function setUp(options: { threads?: number; idleMs?: number } = {}) {
  const path = join(await temporaryDirectory(), 'file')
  await writeFile(path, BYTES)
  const pool = new HashPool({ threads: 2, idleMs: 60_000, ...options })
  const files = new Files(createFaultyFileSystem())
  onTestFinished(async () => {
    await files.close()
    await pool.close()
  })
  return { path, pool, files, file: await files.openForWriting(path) }
}

describe('hash pool', () => {
  it('reads and hashes many pieces at once', async () => {
    const { pool, file } = await setUp()
    const pieces = Array.from({ length: 20 }, (_, index) => index * MIB)
    const reads = await Promise.all(pieces.map((position) => file.use((fd) => pool.read(fd, position, MIB))))
    for (const [index, { bytes, hash }] of reads.entries()) {
      const expected = BYTES.subarray(index * MIB, (index + 1) * MIB)
      expect(Buffer.compare(bytes, expected)).toBe(0)
      expect(hex(hash ?? [])).toBe(sha256(expected))
    }
  })

  it('starts no thread for what is small, and checks it all the same', async () => {
    const { pool, file } = await setUp()
    const mac = { blob: 1, piece: 2 }
    const small = await file.use((fd) => pool.read(fd, MIB, 1000, { hash: true, mac }))
    const bytes = BYTES.slice(MIB, MIB + 1000)
    expect(await pool.check(bytes, mac)).toEqual(small)
    expect(hex(small.hash ?? [])).toBe(sha256(bytes))
    expect(await hashThreads()).toBe(0)
    await pool.check(BYTES.slice(0, MIB), mac)
    expect(await hashThreads()).toBe(1)
  })

  it('makes the same MAC of bytes on a thread and off it', async () => {
    const { pool, file } = await setUp()
    const mac = { blob: 1, piece: 2 }
    const length = 64 * 1024
    const start = BYTES.byteLength - length
    const small = await file.use((fd) => pool.read(fd, start, length, { hash: false, mac }))
    const onThread = await file.use((fd) => pool.read(fd, start, length + 1, { hash: false, mac }))
    expect(await hashThreads()).toBe(1)
    expect(hex(onThread.bytes)).toBe(hex(small.bytes))
    expect(hex(onThread.mac ?? [])).toBe(hex(small.mac ?? []))
  })

  it('reads what there is when the file ends before', async () => {
    const { pool, file } = await setUp()
    const { bytes, hash } = await file.use((fd) => pool.read(fd, 20 * MIB, MIB))
    expect(bytes).toHaveLength(5)
    expect(hex(hash ?? [])).toBe(sha256(bytes))
  })

  it('hashes pieces longer than a job', async () => {
    const { pool, file } = await setUp()
    const hashes = await hashFilePieces(pool, file, BYTES.byteLength, 12 * MIB)
    expect(hex(hashes)).toBe(sha256(BYTES.subarray(0, 12 * MIB)) + sha256(BYTES.subarray(12 * MIB)))
  })

  it('tells of a read that failed, with its code', async () => {
    const { pool } = await setUp()
    await expect(pool.read(-1, 0, 10)).rejects.toThrow()
    const directory = await open(await temporaryDirectory(), 'r')
    for (const length of [10, MIB]) {
      await expect(pool.read(directory.fd, 0, length)).rejects.toMatchObject({ code: 'EISDIR' })
    }
    await directory.close()
  })

  it('ends threads that have nothing to do, and starts them again', async () => {
    const { pool, file } = await setUp({ idleMs: 5 })
    await file.use((fd) => pool.read(fd, 0, MIB))
    await expect.poll(hashThreads, PATIENT).toBe(0)
    const { hash } = await file.use((fd) => pool.read(fd, 0, MIB))
    expect(hex(hash ?? [])).toBe(sha256(BYTES.subarray(0, MIB)))
  })

  it('refuses work after it was closed', async () => {
    const { pool } = await setUp()
    await pool.close()
    await expect(pool.read(0, 0, 1)).rejects.toMatchObject({ code: 'STORE_CLOSED' })
  })
})

describe('running hash', () => {
  it('follows a file that grows, in steps of any length', async () => {
    const { pool, files, path } = await setUp()
    const file = await files.create(`${path}-growing`)
    const running = new RunningHash(pool, 'sha256')
    for (let at = 0; at < BYTES.byteLength; at += 700_001) {
      await file.write(BYTES.subarray(at, at + 700_001), at)
      running.follow(file, Math.min(at + 700_001, BYTES.byteLength))
    }
    expect(hex(await running.finish(file, BYTES.byteLength))).toBe(sha256(BYTES))
  })

  it('keeps its thread while it is open', async () => {
    const { pool, file } = await setUp({ idleMs: 1, threads: 1 })
    const running = new RunningHash(pool, 'sha512')
    running.follow(file, 5 * MIB)
    await expect.poll(() => running.position, PATIENT).toBe(5 * MIB)
    await new Promise((resolve) => setTimeout(resolve, 20))
    const hash = await running.finish(file, BYTES.byteLength)
    expect(hex(hash)).toBe(createHash('sha512').update(BYTES).digest('hex'))
  })

  it('forgets what changed in the file', async () => {
    const { pool, file } = await setUp()
    const running = new RunningHash(pool, 'sha256')
    running.follow(file, 12 * MIB)
    await running.rewind(MIB)
    for (let read = 0; read < 10; read++) await file.use((fd) => pool.read(fd, 0, MIB))
    expect(running.position).toBe(0)
    const changed = BYTES.slice()
    changed.fill(7, MIB, 3 * MIB)
    await file.write(changed.subarray(MIB, 3 * MIB), MIB)
    const hash = await running.finish(file, BYTES.byteLength)
    expect(hex(hash)).toBe(sha256(changed))
  })

  it('remembers what did not change', async () => {
    const { pool, file } = await setUp()
    const running = new RunningHash(pool, 'sha256')
    running.follow(file, 5 * MIB)
    await expect.poll(() => running.position, PATIENT).toBe(5 * MIB)
    await running.rewind(5 * MIB)
    expect(running.position).toBe(5 * MIB)
  })

  it('begins anew after a reset, and after its thread failed', async () => {
    const { pool, file } = await setUp()
    const running = new RunningHash(pool, 'sha256')
    running.follow(file, 5 * MIB)
    await running.reset()
    expect(running.position).toBe(0)
    running.follow(file, BYTES.byteLength + 1)
    const hash = await running.finish(file, BYTES.byteLength)
    expect(hex(hash)).toBe(sha256(BYTES))
  })
})

import { join } from 'node:path'
import { digestBytes, digestOf } from '@layermesh/oci'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Files } from '../disk/files.ts'
import { bytesOf, isSame, MIB, pieceOf } from '../testing/bytes.ts'
import { createFaultyFileSystem } from '../testing/faulty-file-system.ts'
import { temporaryDirectory } from '../testing/stores.ts'
import { HashPool } from './hash-pool.ts'
import { type FileChecks, RunningChecks } from './running-checks.ts'
import { readPiece } from './verified-pieces.ts'

const BYTES = bytesOf(4 * MIB + 9)
const PIECES = [0, 1, 2, 3, 4]

async function setUp() {
  const pool = new HashPool({ threads: 2, idleMs: 60_000 })
  const files = new Files(createFaultyFileSystem())
  onTestFinished(async () => {
    await files.close()
    await pool.close()
  })
  const file = await files.create(join(await temporaryDirectory(), 'file'))
  const running = new RunningChecks(pool, MIB)
  const write = async (position: number, length: number) => {
    const bytes = BYTES.slice(position, position + length)
    await file.write(await running.take(bytes, position), position)
    running.follow(file, Math.min(position + length, BYTES.byteLength))
  }
  return { pool, file, running, write }
}

/** The pieces that are known by a MAC. */
function expectRight({ hash, checks }: FileChecks): number[] {
  expect(isSame(hash, digestBytes(digestOf(BYTES)))).toBe(true)
  for (const piece of PIECES) {
    expect(isSame(checks.hash(piece), digestBytes(digestOf(pieceOf(BYTES, piece))))).toBe(true)
  }
  return PIECES.filter((piece) => checks.mac(piece) !== undefined)
}

describe('running checks', () => {
  it('come from memory when whole pieces are written one after the other, with MACs that are right', async () => {
    const { pool, file, running, write } = await setUp()
    for (const piece of PIECES) await write(piece * MIB, MIB)
    const found = await running.finish(file, BYTES.byteLength)
    expect(expectRight(found)).toEqual([0, 1, 2, 3])
    const { checks } = found
    const wanted: boolean[] = []
    const read = pool.read.bind(pool)
    pool.read = (fd, position, length, want, spare) => {
      wanted.push(want?.hash ?? true)
      return read(fd, position, length, want, spare)
    }
    const size = BYTES.byteLength
    for (const index of PIECES) {
      expect(
        isSame(await readPiece(pool, file, { index, size, pieceLength: MIB, checks }), pieceOf(BYTES, index))
      ).toBe(true)
    }
    expect(wanted).toEqual([false, false, false, false, true])
  })

  it('come from the file where a piece was written in parts, and from memory again behind it', async () => {
    const { file, running, write } = await setUp()
    await write(0, MIB)
    await write(MIB, 100)
    await write(MIB + 100, MIB - 100)
    for (const piece of [2, 3, 4]) await write(piece * MIB, MIB)
    expect(expectRight(await running.finish(file, BYTES.byteLength))).toEqual([0, 2, 3])
  })

  it('come from the file when what was taken in was taken back', async () => {
    const { file, running, write } = await setUp()
    await write(0, MIB)
    await running.take(new Uint8Array(MIB), MIB)
    await running.rewind(MIB)
    for (const piece of [1, 2, 3, 4]) await write(piece * MIB, MIB)
    expect(expectRight(await running.finish(file, BYTES.byteLength))).toEqual([2, 3])
  })

  it('can be made anew after they were made', async () => {
    const { file, running, write } = await setUp()
    for (const piece of PIECES) await write(piece * MIB, MIB)
    const first = await running.finish(file, BYTES.byteLength)
    const second = await running.finish(file, BYTES.byteLength)
    expectRight(second)
    expect(second.checks.nonce(0)).not.toEqual(first.checks.nonce(0))
  })

  it('of an empty file have no pieces', async () => {
    const { file, running } = await setUp()
    const { hash, checks } = await running.finish(file, 0)
    expect(isSame(hash, digestBytes(digestOf(new Uint8Array(0))))).toBe(true)
    expect(checks.hashes).toHaveLength(0)
  })
})

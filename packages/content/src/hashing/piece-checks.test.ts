import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { digestBytes, digestOf } from '@layermesh/oci'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Files } from '../disk/files.ts'
import { bytesOf, isSame, MIB, pieceOf } from '../testing/bytes.ts'
import { createFaultyFileSystem } from '../testing/faulty-file-system.ts'
import { flipBit, temporaryDirectory } from '../testing/stores.ts'
import { HashPool } from './hash-pool.ts'
import { type MacNonce, PieceChecks } from './piece-checks.ts'
import { readPiece } from './verified-pieces.ts'

const BYTES = bytesOf(2 * MIB + 7)

function hashOf(bytes: Uint8Array): Uint8Array {
  return digestBytes(digestOf(bytes))
}

async function setUp() {
  const path = join(await temporaryDirectory(), 'file')
  await writeFile(path, BYTES)
  const pool = new HashPool({ threads: 2, idleMs: 60_000 })
  const files = new Files(createFaultyFileSystem())
  onTestFinished(async () => {
    await files.close()
    await pool.close()
  })
  const file = await files.openForReading(path)
  const checks = new PieceChecks(Buffer.concat([0, 1, 2].map((piece) => hashOf(pieceOf(BYTES, piece)))))
  const wanted: boolean[] = []
  const read = pool.read.bind(pool)
  pool.read = (fd, position, length, want, spare) => {
    wanted.push(want?.hash ?? true)
    return read(fd, position, length, want, spare)
  }
  const readOne = (index: number) => readPiece(pool, file, { index, size: BYTES.byteLength, pieceLength: MIB, checks })
  return { path, pool, files, checks, readOne, wanted }
}

describe('the checks of pieces', () => {
  it('hash a piece when it is read first, and know it by its MAC from then on', async () => {
    const { checks, readOne, wanted } = await setUp()
    for (const piece of [1, 1, 2, 2, 1]) expect(isSame(await readOne(piece), pieceOf(BYTES, piece))).toBe(true)
    expect(wanted).toEqual([true, false, true, false, false])
    expect(checks.mac(0)).toBeUndefined()
    expect(checks.mac(1)).not.toEqual(checks.mac(2))
  })

  it('find the bit that flipped after the piece was verified', async () => {
    const { path, readOne } = await setUp()
    await readOne(0)
    await flipBit(path, MIB - 1)
    expect(await readOne(0)).toBeUndefined()
  })

  it('keep no MAC of bytes that were never right', async () => {
    const { path, checks, readOne } = await setUp()
    await flipBit(path, 3)
    expect(await readOne(0)).toBeUndefined()
    expect(checks.mac(0)).toBeUndefined()
  })

  it('do not blame the disk for a MAC that is wrong, only for a hash', async () => {
    const { checks, readOne, wanted } = await setUp()
    checks.keepMac(0, new Uint8Array(16))
    expect(isSame(await readOne(0), pieceOf(BYTES, 0))).toBe(true)
    await readOne(0)
    expect(wanted).toEqual([false, true, false])
  })

  it('forget the MAC when the piece has to be another', async () => {
    const { checks, readOne } = await setUp()
    await readOne(0)
    checks.setHash(0, hashOf(pieceOf(BYTES, 1)))
    expect(await readOne(0)).toBeUndefined()
  })

  it('have another MAC for the same bytes in another blob, in another place, and in another store', async () => {
    const { path, checks, pool, files } = await setUp()
    const other = new HashPool({ threads: 1, idleMs: 60_000 })
    onTestFinished(() => other.close())
    const file = await files.openForReading(path)
    const macOf = async (by: HashPool, mac: MacNonce) => {
      const read = await file.use((fd) => by.read(fd, 0, MIB, { hash: false, mac }))
      return Buffer.from(read.mac ?? []).toString('hex')
    }
    const macs = [
      await macOf(pool, checks.nonce(0)),
      await macOf(pool, checks.nonce(1)),
      await macOf(pool, new PieceChecks(checks.hashes).nonce(0)),
      await macOf(other, checks.nonce(0))
    ]
    expect(macs[0]).toHaveLength(32)
    expect(new Set(macs).size).toBe(4)
    expect(await macOf(pool, checks.nonce(0))).toBe(macs[0])
  })
})

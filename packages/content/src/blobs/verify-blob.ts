import { type Digest, digestAlgorithm, digestOfHash, pieceRange } from '@layermesh/oci'
import type { StoredFile } from '../disk/files.ts'
import { errorCode } from '../errors.ts'
import { type HashPool, MAX_JOB_BYTES } from '../hashing/hash-pool.ts'
import type { HashStream } from '../hashing/hash-stream.ts'
import { HASH_LENGTH } from '../hashing/lengths.ts'
import { hashOfPiece } from '../hashing/piece-checks.ts'
import { equalBytes } from '../hashing/verified-pieces.ts'

/** A whole blob on the disk, and the SHA-256 of each of its pieces. */
export interface BlobOnDisk {
  readonly file: StoredFile
  readonly digest: Digest
  readonly size: number
  readonly pieceLength: number
  readonly hashes: Uint8Array
}

/** Called after so many bytes were read; reading goes on when it resolves. It may throw to end it. */
export type Pace = (bytes: number) => Promise<void>

/**
 * Reads all of a blob and hashes it, each piece by itself and, in the same pass, the whole. It goes in steps, so that
 * others do not wait long behind it.
 * @returns the pieces that are not what was stored; all of them when they are but the whole has another digest
 */
export async function findBadPieces(pool: HashPool, blob: BlobOnDisk, pace: Pace): Promise<number[]> {
  const { digest, size, pieceLength } = blob
  const algorithm = digestAlgorithm(digest)
  const step = pieceLength * Math.max(1, Math.floor(MAX_JOB_BYTES / pieceLength))
  const bad: number[] = []
  let whole: HashStream | undefined = pool.openStream(algorithm)
  try {
    for (let start = 0; start < size; start += step) {
      const end = Math.min(start + step, size)
      bad.push(...(await badBetween(pool, whole, blob, start, end)))
      // The digest of the whole tells no more then, and the running hash may have stopped in the middle.
      if (bad.length > 0) {
        whole?.drop()
        whole = undefined
      }
      await pace(end - start)
    }
    if (whole === undefined) return bad
    const finishing = whole.finish()
    whole = undefined
    return digestOfHash(algorithm, await finishing) === digest ? [] : allPieces(blob)
  } finally {
    whole?.drop()
  }
}

async function badBetween(
  pool: HashPool,
  whole: HashStream | undefined,
  blob: BlobOnDisk,
  start: number,
  end: number
): Promise<number[]> {
  const { file, pieceLength } = blob
  try {
    const hashes = await file.use((fd) =>
      whole === undefined ? pool.hashPieces(fd, start, end, pieceLength) : whole.extendByPieces(fd, end, pieceLength)
    )
    return differing(blob, hashes, start / pieceLength)
  } catch (error) {
    if (errorCode(error) !== 'EIO') throw error
    return await unreadable(pool, blob, start, end)
  }
}

function differing({ hashes }: BlobOnDisk, found: Uint8Array, first: number): number[] {
  const bad: number[] = []
  for (let index = 0; index < found.byteLength / HASH_LENGTH; index++) {
    if (!equalBytes(hashOfPiece(found, index), hashOfPiece(hashes, first + index))) bad.push(first + index)
  }
  return bad
}

/** Piece by piece, on a disk that can not give all of them back. */
async function unreadable(pool: HashPool, blob: BlobOnDisk, start: number, end: number): Promise<number[]> {
  const { file, size, pieceLength } = blob
  const bad: number[] = []
  for (let index = start / pieceLength; index * pieceLength < end; index++) {
    const piece = pieceRange(index, size, pieceLength)
    try {
      const hash = await file.use((fd) => pool.hashPieces(fd, piece.start, piece.end, pieceLength))
      bad.push(...differing(blob, hash, index))
    } catch (error) {
      if (errorCode(error) !== 'EIO') throw error
      bad.push(index)
    }
  }
  return bad
}

function allPieces({ hashes }: BlobOnDisk): number[] {
  return Array.from({ length: hashes.byteLength / HASH_LENGTH }, (_, index) => index)
}

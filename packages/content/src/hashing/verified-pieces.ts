import { type ByteRange, pieceRange } from '@layermesh/oci'
import type { StoredFile } from '../disk/files.ts'
import { errorCode } from '../errors.ts'
import { HASH_LENGTH, type HashPool } from './hash-pool.ts'

/** A blob whose pieces can be had one by one, each verified. */
export interface VerifiedPieces {
  readonly size: number
  readonly pieceLength: number
  /** The bytes of one piece, once they are here. @throws {ContentError} BLOB_CORRUPT, DOWNLOAD_FAILED */
  piece(index: number, signal: AbortSignal): Promise<Uint8Array>
}

// A reader of a blob with larger pieces than this holds one at a time.
const MAX_READ_AHEAD_BYTES = 8 * 1024 * 1024

/**
 * The bytes of `range` in order. While the consumer has one piece, the next is read and hashed, so that disk, hash and
 * socket work at the same time; a reader holds the piece it gave out and the one it reads ahead.
 * @throws {RangeError} when the blob has no such bytes
 */
export async function* readRange(
  blob: VerifiedPieces,
  range: ByteRange,
  signal?: AbortSignal
): AsyncGenerator<Uint8Array> {
  checkRange(range, blob.size)
  if (range.start === range.end) return
  const left = new AbortController()
  const stop = signal === undefined ? left.signal : AbortSignal.any([signal, left.signal])
  const last = Math.floor((range.end - 1) / blob.pieceLength)
  const readAhead = blob.pieceLength <= MAX_READ_AHEAD_BYTES
  let index = Math.floor(range.start / blob.pieceLength)
  let ahead: Promise<Uint8Array> | undefined
  try {
    for (; index <= last; index++) {
      signal?.throwIfAborted()
      const bytes = await (ahead ?? blob.piece(index, stop))
      ahead = readAhead && index < last ? blob.piece(index + 1, stop) : undefined
      ahead?.catch(() => {})
      yield cut(bytes, index * blob.pieceLength, range)
    }
  } finally {
    left.abort()
    await ahead?.catch(() => {})
  }
}

/** The bytes of a range that is short enough to be held at once. */
export async function readWhole(blob: VerifiedPieces, range: ByteRange): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of readRange(blob, range)) chunks.push(chunk)
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)
}

/** @throws {RangeError} when `range` is not a range of a blob of this size */
export function checkRange({ start, end }: ByteRange, size: number): void {
  if (Number.isSafeInteger(start) && Number.isSafeInteger(end) && 0 <= start && start <= end && end <= size) return
  throw new RangeError(`a blob of ${size} bytes has no bytes from ${start} to ${end}`)
}

/** The hash of one piece among those of all. */
export function hashOfPiece(hashes: Uint8Array, index: number): Uint8Array {
  return hashes.subarray(index * HASH_LENGTH, (index + 1) * HASH_LENGTH)
}

export function equalBytes(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0
}

/** Where a piece lies and what it must be. */
export interface PieceOnDisk {
  readonly index: number
  readonly size: number
  readonly pieceLength: number
  readonly hash: Uint8Array
}

/** Reads a piece; undefined when the disk can't give back what was stored. */
export async function readPiece(pool: HashPool, file: StoredFile, piece: PieceOnDisk): Promise<Uint8Array | undefined> {
  const { start, end } = pieceRange(piece.index, piece.size, piece.pieceLength)
  try {
    const { bytes, hash } = await file.use((fd) => pool.read(fd, start, end - start))
    return bytes.byteLength === end - start && equalBytes(hash, piece.hash) ? bytes : undefined
  } catch (error) {
    if (errorCode(error) === 'EIO') return undefined
    throw error
  }
}

function cut(bytes: Uint8Array, offset: number, range: ByteRange): Uint8Array {
  const start = Math.max(0, range.start - offset)
  const end = Math.min(bytes.byteLength, range.end - offset)
  return bytes.subarray(start, end)
}

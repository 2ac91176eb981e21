import { type ByteRange, pieceRange } from '@layermesh/oci'
import type { StoredFile } from '../disk/files.ts'
import { errorCode } from '../errors.ts'
import type { ReadOptions } from '../interfaces.ts'
import type { HashPool } from './hash-pool.ts'
import type { PieceChecks } from './piece-checks.ts'

/** A blob whose pieces can be had one by one, each verified. */
export interface VerifiedPieces {
  readonly size: number
  readonly pieceLength: number
  /**
   * The bytes of one piece, once they are here.
   * @param spare memory that may be used for them
   * @throws {ContentError} BLOB_CORRUPT, DOWNLOAD_FAILED
   */
  piece(index: number, signal: AbortSignal, spare?: ArrayBuffer): Promise<Uint8Array>
}

const NEVER = new AbortController().signal
// Pieces that are read while the consumer has one: two, so that two threads work for one reader.
const READ_AHEAD = 2
// A reader of a blob with larger pieces than this reads none ahead.
const MAX_READ_AHEAD_BYTES = 8 * 1024 * 1024

/**
 * The bytes of `range` in order. While the consumer has one piece, the next two are read and hashed, so that disk,
 * hash and socket work at the same time; a reader holds no more than these three.
 * @throws {RangeError} when the blob has no such bytes
 */
export async function* readRange(
  blob: VerifiedPieces,
  range: ByteRange,
  signal?: AbortSignal,
  { reuseMemory = false }: ReadOptions = {}
): AsyncGenerator<Uint8Array> {
  checkRange(range, blob.size)
  if (range.start === range.end) return
  const left = new AbortController()
  const stop = signal === undefined ? left.signal : AbortSignal.any([signal, left.signal])
  const readAhead = blob.pieceLength <= MAX_READ_AHEAD_BYTES ? READ_AHEAD : 0
  const last = Math.floor((range.end - 1) / blob.pieceLength)
  const pieces: Promise<Uint8Array>[] = []
  const spares: ArrayBuffer[] = []
  let index = Math.floor(range.start / blob.pieceLength)
  let next = index
  const readUpTo = (end: number) => {
    for (; next <= Math.min(end, last); next++) {
      const piece = blob.piece(next, stop, spares.pop())
      piece.catch(() => {})
      pieces.push(piece)
    }
  }
  try {
    for (; index <= last; index++) {
      signal?.throwIfAborted()
      readUpTo(index + Math.max(0, readAhead - 1))
      const bytes = await pieces.shift()
      readUpTo(index + readAhead)
      if (bytes === undefined) return
      yield cut(bytes, index * blob.pieceLength, range)
      if (reuseMemory && bytes.buffer instanceof ArrayBuffer) spares.push(bytes.buffer)
    }
  } finally {
    left.abort()
    await Promise.allSettled(pieces)
  }
}

/**
 * The bytes of a range that is short enough to be held at once.
 * @param spare memory that may be used for them if they are of one piece
 */
export async function readWhole(blob: VerifiedPieces, range: ByteRange, spare?: ArrayBuffer): Promise<Uint8Array> {
  checkRange(range, blob.size)
  const index = Math.floor(range.start / blob.pieceLength)
  if (range.start < range.end && range.end <= (index + 1) * blob.pieceLength) {
    return cut(await blob.piece(index, NEVER, spare), index * blob.pieceLength, range)
  }
  const chunks: Uint8Array[] = []
  for await (const chunk of readRange(blob, range)) chunks.push(chunk)
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)
}

/** @throws {RangeError} when `range` is not a range of a blob of this size */
export function checkRange({ start, end }: ByteRange, size: number): void {
  if (Number.isSafeInteger(start) && Number.isSafeInteger(end) && 0 <= start && start <= end && end <= size) return
  throw new RangeError(`a blob of ${size} bytes has no bytes from ${start} to ${end}`)
}

export function equalBytes(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0
}

/** Where a piece lies and what it must be. */
export interface PieceOnDisk {
  readonly index: number
  readonly size: number
  readonly pieceLength: number
  readonly checks: PieceChecks
}

/** Reads a piece; undefined when the disk can't give back what was stored. */
export async function readPiece(
  pool: HashPool,
  file: StoredFile,
  { index, size, pieceLength, checks }: PieceOnDisk,
  spare?: ArrayBuffer
): Promise<Uint8Array | undefined> {
  const { start, end } = pieceRange(index, size, pieceLength)
  const length = end - start
  const nonce = checks.nonce(index)
  const read = (hash: boolean, memory?: ArrayBuffer) =>
    file.use((fd) => pool.read(fd, start, length, { hash, mac: nonce }, memory))
  let memory = spare
  try {
    const known = checks.mac(index)
    if (known !== undefined) {
      const { bytes, mac } = await read(false, memory)
      if (bytes.byteLength === length && mac !== undefined && equalBytes(mac, known)) return bytes
      memory = bytes.buffer
    }
    // Only a wrong hash convicts the disk.
    const { bytes, hash, mac } = await read(true, memory)
    if (bytes.byteLength !== length || hash === undefined || !equalBytes(hash, checks.hash(index))) return undefined
    if (mac !== undefined) checks.keepMac(index, mac)
    return bytes
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

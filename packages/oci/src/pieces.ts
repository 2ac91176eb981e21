import type { ByteRange } from './ranges.ts'

const MIB = 1024 * 1024
const MIN_PIECE_LENGTH = MIB
const MAX_PIECE_COUNT = 4096

/**
 * The piece length for a blob, in bytes: 1 MiB for blobs of up to 4 GiB, then the next power of two that keeps the
 * pieces at 4096 or fewer, so that a piece map stays within 128 KiB.
 */
export function pieceLengthFor(length: number): number {
  let pieceLength = MIN_PIECE_LENGTH
  while (pieceLength * MAX_PIECE_COUNT < length) pieceLength *= 2
  return pieceLength
}

/** How many pieces a blob of `length` bytes has; an empty blob has none. */
export function pieceCount(length: number, pieceLength = pieceLengthFor(length)): number {
  return Math.ceil(length / pieceLength)
}

/** The bytes of the blob that the piece `index` holds; the last piece may be short. */
export function pieceRange(index: number, length: number, pieceLength = pieceLengthFor(length)): ByteRange {
  const start = index * pieceLength
  return { start, end: Math.min(start + pieceLength, length) }
}

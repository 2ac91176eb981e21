import { createHash } from 'node:crypto'
import { type Digest, digestOfHash, pieceCount, pieceLengthFor, pieceRange } from '@layermesh/oci'

/** A blob of the image; its bytes are never there, only their number. */
export class VirtualBlob {
  readonly digest: Digest
  readonly size: number
  readonly pieceLength: number
  readonly pieces: number

  /** @param pieceLength 0 for the length that nodes choose for this size */
  constructor(name: string, size: number, pieceLength = 0) {
    this.digest = digestOfHash('sha256', createHash('sha256').update(name).digest())
    this.size = size
    this.pieceLength = pieceLength === 0 ? pieceLengthFor(size) : pieceLength
    this.pieces = pieceCount(size, this.pieceLength)
  }

  bytesOf(piece: number): number {
    const { start, end } = pieceRange(piece, this.size, this.pieceLength)
    return end - start
  }
}

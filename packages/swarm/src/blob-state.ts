import { Bitfield, type Digest, pieceRange } from '@layermesh/oci'
import type { PeerScope } from './events.ts'

/** A peer that offers pieces of one blob. */
export interface Source {
  readonly peer: string
  readonly scope: PeerScope
  readonly pieces: Bitfield
}

/** One wanted blob: which pieces are here, which are asked of whom, who offers what. */
export class BlobState {
  readonly digest: Digest
  readonly size: number
  readonly pieceLength: number
  readonly held: Bitfield
  readonly sources = new Map<string, Source>()
  /** Piece to the peer that was asked for it. */
  readonly requested = new Map<number, string>()
  /** When a piece came or a source joined last. */
  lastProgressAt: number
  searching = false
  lastSearchAt = Number.NEGATIVE_INFINITY
  readonly #awaited = new Set<number>()
  #firstMissing = 0

  constructor(init: { digest: Digest; size: number; pieceLength: number; held: Bitfield }, now: number) {
    this.digest = init.digest
    this.size = init.size
    this.pieceLength = init.pieceLength
    this.held = Bitfield.fromBytes(init.held.toBytes(), init.held.length) ?? new Bitfield(init.held.length)
    this.lastProgressAt = now
  }

  get complete(): boolean {
    return this.held.count === this.held.length
  }

  /** Whether a reader waits for a piece that is not here. */
  get urgent(): boolean {
    return this.#awaited.size > 0
  }

  bytesOf(piece: number): number {
    const { start, end } = pieceRange(piece, this.size, this.pieceLength)
    return end - start
  }

  awaits(piece: number): void {
    if (piece >= 0 && piece < this.held.length && !this.held.has(piece)) this.#awaited.add(piece)
  }

  keep(piece: number): void {
    this.held.set(piece)
    this.requested.delete(piece)
    this.#awaited.delete(piece)
  }

  /** Pieces neither here nor asked for: first those that readers wait for with a window behind each, then the others in order. */
  *wanted(readAheadPieces: number): Generator<number> {
    for (const start of [...this.#awaited].sort((a, b) => a - b)) {
      const end = Math.min(start + readAheadPieces, this.held.length)
      for (let piece = start; piece < end; piece++) if (this.isOpen(piece)) yield piece
    }
    while (this.held.has(this.#firstMissing)) this.#firstMissing++
    for (let piece = this.#firstMissing; piece < this.held.length; piece++) if (this.isOpen(piece)) yield piece
  }

  /** Whether some piece that is not here is offered by no source. */
  lacksSource(): boolean {
    for (let piece = this.#firstMissing; piece < this.held.length; piece++) {
      if (this.held.has(piece)) continue
      if (![...this.sources.values()].some((source) => source.pieces.has(piece))) return true
    }
    return false
  }

  private isOpen(piece: number): boolean {
    return !this.held.has(piece) && !this.requested.has(piece)
  }
}

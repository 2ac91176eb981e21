import { type Digest, pieceCount, pieceRange } from '@layermesh/oci'
import { hashOfPiece } from '../hashing/piece-checks.ts'
import type { Change } from '../metadata/metadata.ts'
import { type PartialRow, pieceKey, type Tables } from '../metadata/tables.ts'

/** Pieces and the SHA-256 of each. */
export type PieceHashMap = Map<number, Uint8Array>

/**
 * What the metadata knows of unfinished downloads: a row for each with its length, and one for each durable piece with
 * its SHA-256. The rows of the pieces are the bitmap: a flush adds a few rows instead of writing all bits again.
 */
export class PartialRows {
  readonly #tables: Tables

  constructor(tables: Tables) {
    this.#tables = tables
  }

  get(digest: Digest): Promise<PartialRow | undefined> {
    return this.#tables.partials.get(digest)
  }

  async *list(): AsyncGenerator<[Digest, PartialRow]> {
    for await (const [[digest], row] of this.#tables.partials.range([])) yield [digest as Digest, row]
  }

  /** The pieces that the rows say are here. */
  async pieces(digest: Digest): Promise<PieceHashMap> {
    const pieces: PieceHashMap = new Map()
    for await (const [[key = ''], hash] of this.#tables.partialPieces.range([digest])) {
      pieces.set(Number.parseInt(key, 16), hash)
    }
    return pieces
  }

  put(digest: Digest, row: PartialRow): Change {
    return this.#tables.partials.put([digest], row)
  }

  putPieces(digest: Digest, pieces: PieceHashMap): Change[] {
    return [...pieces].map(([piece, hash]) => this.#tables.partialPieces.put([digest, pieceKey(piece)], hash))
  }

  delPieces(digest: Digest, pieces: Iterable<number>): Change[] {
    return [...pieces].map((piece) => this.#tables.partialPieces.del([digest, pieceKey(piece)]))
  }

  /** Forgets a download of this length. */
  removal(digest: Digest, size: number): Change[] {
    const pieces = Array.from({ length: pieceCount(size) }, (_, piece) => piece)
    return [this.#tables.partials.del([digest]), ...this.delPieces(digest, pieces)]
  }

  /** Makes a blob that was whole an unfinished download that lacks `missing`. */
  demotion(digest: Digest, size: number, hashes: Uint8Array, missing: readonly number[]): Change[] {
    const here: PieceHashMap = new Map()
    for (let piece = 0; piece < pieceCount(size); piece++) {
      if (!missing.includes(piece)) here.set(piece, hashOfPiece(hashes, piece))
    }
    return [this.put(digest, { size, vouched: true }), ...this.putPieces(digest, here)]
  }
}

/** How many bytes these pieces of a blob have. */
export function bytesOfPieces(pieces: Iterable<number>, size: number): number {
  let bytes = 0
  for (const piece of pieces) {
    const { start, end } = pieceRange(piece, size)
    bytes += end - start
  }
  return bytes
}

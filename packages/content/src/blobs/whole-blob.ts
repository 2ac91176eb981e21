import type { Digest } from '@layermesh/oci'
import type { StoredFile } from '../disk/files.ts'
import { ContentError } from '../errors.ts'
import type { HashPool } from '../hashing/hash-pool.ts'
import type { PieceChecks } from '../hashing/piece-checks.ts'
import { readPiece, type VerifiedPieces } from '../hashing/verified-pieces.ts'
import { findBadPieces, type Pace } from './verify-blob.ts'

export interface WholeBlobComponents {
  readonly file: StoredFile
  readonly pool: HashPool
  /** Takes the blob back because of this piece. */
  readonly onCorrupt: (piece: number) => Promise<void>
}

export interface WholeBlobRecord {
  readonly digest: Digest
  readonly size: number
  readonly pieceLength: number
  readonly checks: PieceChecks
}

/** A whole blob with its file open. Every piece is verified when it is read. */
export class WholeBlob implements VerifiedPieces {
  readonly digest: Digest
  readonly size: number
  readonly pieceLength: number
  readonly checks: PieceChecks
  readonly #components: WholeBlobComponents

  constructor(components: WholeBlobComponents, record: WholeBlobRecord) {
    this.#components = components
    this.digest = record.digest
    this.size = record.size
    this.pieceLength = record.pieceLength
    this.checks = record.checks
  }

  /** Adds an owner, who has to {@link release} it. False when it is closed. */
  retain(): boolean {
    return this.#components.file.retain()
  }

  release(): void {
    this.#components.file.release()
  }

  /** The pieces that are not what was stored; see {@link findBadPieces}. Nothing is done about them. */
  findBadPieces(pace: Pace): Promise<number[]> {
    const { file, pool } = this.#components
    const { digest, size, pieceLength, checks } = this
    return findBadPieces(pool, { file, digest, size, pieceLength, hashes: checks.hashes }, pace)
  }

  async piece(index: number, _signal: AbortSignal, spare?: ArrayBuffer): Promise<Uint8Array> {
    const { file, pool, onCorrupt } = this.#components
    const { size, pieceLength, checks } = this
    const bytes = await readPiece(pool, file, { index, size, pieceLength, checks }, spare)
    if (bytes !== undefined) return bytes
    const message = `piece ${index} of ${this.digest} is not what was stored`
    try {
      await onCorrupt(index)
    } catch (cause) {
      throw new ContentError('BLOB_CORRUPT', message, { cause })
    }
    throw new ContentError('BLOB_CORRUPT', message)
  }
}

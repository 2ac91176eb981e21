import type { Digest } from '@layermesh/oci'
import type { StoredFile } from '../disk/files.ts'
import { ContentError } from '../errors.ts'
import type { HashPool } from '../hashing/hash-pool.ts'
import { hashOfPiece, readPiece, type VerifiedPieces } from '../hashing/verified-pieces.ts'

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
  /** The SHA-256 of each piece. */
  readonly hashes: Uint8Array
}

/** A whole blob with its file open. Every piece is verified when it is read. */
export class WholeBlob implements VerifiedPieces {
  readonly digest: Digest
  readonly size: number
  readonly pieceLength: number
  readonly hashes: Uint8Array
  readonly #components: WholeBlobComponents

  constructor(components: WholeBlobComponents, record: WholeBlobRecord) {
    this.#components = components
    this.digest = record.digest
    this.size = record.size
    this.pieceLength = record.pieceLength
    this.hashes = record.hashes
  }

  /** Adds an owner, who has to {@link release} it. False when it is closed. */
  retain(): boolean {
    return this.#components.file.retain()
  }

  release(): void {
    this.#components.file.release()
  }

  async piece(index: number, _signal: AbortSignal, spare?: ArrayBuffer): Promise<Uint8Array> {
    const { file, pool, onCorrupt } = this.#components
    const { size, pieceLength } = this
    const wanted = { index, size, pieceLength, hash: hashOfPiece(this.hashes, index) }
    const bytes = await readPiece(pool, file, wanted, spare)
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

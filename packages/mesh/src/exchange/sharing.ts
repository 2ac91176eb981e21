import type { Digest, Repository } from '@layermesh/oci'
import type { PeerAddresses } from '../wire/blob-messages.ts'
import type { Growth } from './piece-ledger.ts'

/** A blob that this node can share: whole, or as far as it is here. */
export interface Offer {
  readonly size: number
  /** Packed bits of the pieces that are here; undefined when all are. */
  readonly held?: Uint8Array
  readonly pieceMap?: Uint8Array
  /** In place of a map, while the blob comes into the mesh. */
  readonly growth?: Growth
  /** Pieces that are brought in from an origin or from afar at this moment. */
  readonly fetching?: readonly number[]
}

/** What the serving side needs of the store. */
export interface Shelf {
  /** What is here of a blob; with `within`, only if the repository is known to have it. */
  offer(digest: Digest, within: Repository | undefined): Promise<Offer | undefined>
  /** Whether this node brings the blob into the mesh: it gives each piece to one peer of a zone, which passes it on. */
  bringsIn(digest: Digest): boolean
  /** What a peer lacks that was told the first `told` hashes of a blob that comes into the mesh. */
  growth(digest: Digest, told: number): Growth | undefined
  /**
   * The verified bytes of a piece, in memory that nobody else uses; undefined when it is not here.
   * @param spare memory that may be used for them
   */
  read(digest: Digest, range: { start: number; end: number }, spare?: ArrayBufferLike): Promise<Uint8Array | undefined>
}

/** Peers that lately asked for a blob; they are told of each other. */
export interface Interest {
  asked(digest: Digest, peerId: string): void
  peers(digest: Digest, except: string): Promise<PeerAddresses[]>
}

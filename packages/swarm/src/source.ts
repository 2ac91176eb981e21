import type { Bitfield } from '@layermesh/oci'
import type { PeerScope } from './events.ts'
import { memberKey } from './rendezvous.ts'

/**
 * Where a source stands. A `member` is near and wanted the blob itself when it joined; an `origin` is near and had all
 * of it; `far` is any source of another zone. What no member has yet is brought in from an origin or from afar, once,
 * by one of them.
 */
export type SourceKind = 'member' | 'origin' | 'far'

/** A peer that offers pieces of one blob. */
export class Source {
  readonly peer: string
  readonly kind: SourceKind
  readonly pieces: Bitfield
  /** Whether it had all of the blob when it joined. */
  readonly whole: boolean
  /** For rendezvous hashing. */
  readonly key: number
  /** Pieces that it has and that are neither here nor asked for. */
  useful = 0
  /** The state of the blob in which nothing could be asked of it; it is not tried again before that changes. */
  idleAt = -1

  constructor(digest: string, { peer, scope, pieces }: { peer: string; scope: PeerScope; pieces: Bitfield }) {
    this.peer = peer
    this.whole = pieces.count === pieces.length
    this.kind = scope === 'far' ? 'far' : this.whole ? 'origin' : 'member'
    this.pieces = pieces
    this.key = memberKey(peer, digest)
  }

  /** Whether it shares in bringing pieces in: a member that still lacks some. */
  get brings(): boolean {
    return this.kind === 'member' && this.pieces.count < this.pieces.length
  }
}

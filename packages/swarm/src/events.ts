import type { Bitfield, Digest } from '@layermesh/oci'

/** What happened, told to {@link Swarm.step}. */
export type SwarmEvent =
  /** This node wants a blob; `held` are the pieces that are here already. */
  | {
      readonly type: 'want'
      readonly digest: Digest
      readonly size: number
      readonly pieceLength: number
      readonly held: Bitfield
    }
  /** This node no longer wants the blob, or has it. */
  | { readonly type: 'stop'; readonly digest: Digest }
  /** A peer offers pieces of a wanted blob. */
  | {
      readonly type: 'peer-joined'
      readonly digest: Digest
      readonly peer: string
      readonly scope: PeerScope
      readonly pieces: Bitfield
    }
  /** A peer that joined has more pieces now. */
  | { readonly type: 'peer-has'; readonly digest: Digest; readonly peer: string; readonly pieces: readonly number[] }
  /** A peer no longer offers this blob. */
  | { readonly type: 'peer-left'; readonly digest: Digest; readonly peer: string }
  /** The connection to a peer is gone. */
  | { readonly type: 'peer-gone'; readonly peer: string }
  /** Bytes of any kind came from a peer: it is alive and working. */
  | { readonly type: 'progress'; readonly peer: string }
  /** A piece came, was verified and is kept. */
  | { readonly type: 'piece-arrived'; readonly digest: Digest; readonly peer: string; readonly piece: number }
  | {
      readonly type: 'piece-failed'
      readonly digest: Digest
      readonly peer: string
      readonly piece: number
      readonly reason: PieceFailure
    }
  /** A reader waits for this piece. */
  | { readonly type: 'awaited'; readonly digest: Digest; readonly piece: number }
  /** The search for peers that `find-peers` asked for has ended. */
  | { readonly type: 'search-ended'; readonly digest: Digest }
  /** Time has passed. */
  | { readonly type: 'tick' }

/** `zone`: near. `far`: another zone or another datacenter. */
export type PeerScope = 'zone' | 'far'

export type PieceFailure =
  /** The bytes are not those of the piece map. */
  | 'wrong-bytes'
  /** The peer broke the protocol in what it sent for this piece: too much, too little, out of place. */
  | 'malformed'
  /** The peer does not have the piece after all. */
  | 'not-held'
  /** The peer has no slot to spare; ask again later. */
  | 'busy'
  /** The request was lost with its stream. */
  | 'lost'

/** What is to be done, in this order. */
export type SwarmAction =
  | { readonly type: 'request'; readonly digest: Digest; readonly peer: string; readonly piece: number }
  | { readonly type: 'cancel'; readonly digest: Digest; readonly peer: string; readonly piece: number }
  /** The peer is not to be talked to for a while. */
  | { readonly type: 'ban'; readonly peer: string; readonly reason: BanReason; readonly forMs: number }
  /** There are too few sources: look for more, then tell `search-ended`. */
  | { readonly type: 'find-peers'; readonly digest: Digest }
  /** All pieces are here. */
  | { readonly type: 'complete'; readonly digest: Digest }
  /** Nobody brought anything for too long. */
  | { readonly type: 'give-up'; readonly digest: Digest }

export type BanReason = 'wrong-bytes' | 'malformed' | 'silent'

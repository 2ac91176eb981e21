import type { Bitfield, Digest } from '@layermesh/oci'

/** What happened to the asking side, told to {@link Swarm.step}. */
export type SwarmEvent =
  /** This node wants a blob; `held` are the pieces that are here already. */
  | {
      readonly type: 'want'
      readonly digest: Digest
      readonly size: number
      readonly pieceLength: number
      readonly held: Bitfield
      /**
       * The blob comes into the mesh at this moment: that nobody has a piece yet is no reason to look for others.
       * @default false
       */
      readonly entering?: boolean
    }
  /** This node no longer wants the blob, or has it. */
  | { readonly type: 'stop'; readonly digest: Digest }
  /** A peer offers pieces of a wanted blob. One that offers all of them wanted it before, or never did: an origin. */
  | {
      readonly type: 'peer-joined'
      readonly digest: Digest
      readonly peer: string
      readonly scope: PeerScope
      readonly pieces: Bitfield
      /** Pieces that it is bringing in from an origin or from afar at this moment. */
      readonly fetching?: readonly number[]
    }
  /** A peer that joined has more pieces now. */
  | { readonly type: 'peer-has'; readonly digest: Digest; readonly peer: string; readonly pieces: readonly number[] }
  /** A peer that joined brings in these pieces from an origin or from afar; others of its zone wait for it. */
  | {
      readonly type: 'peer-fetching'
      readonly digest: Digest
      readonly peer: string
      readonly pieces: readonly number[]
    }
  /** A peer no longer offers this blob. */
  | { readonly type: 'peer-left'; readonly digest: Digest; readonly peer: string }
  /** This node brings in for its zone what no peer offers, from outside the mesh, or does so no more. */
  | { readonly type: 'gateway'; readonly digest: Digest; readonly on: boolean }
  /** Something of the blob came from outside the mesh: this piece, which is kept, or a part of one. */
  | { readonly type: 'entered'; readonly digest: Digest; readonly piece?: number }
  /** The connection to a peer is gone. */
  | { readonly type: 'peer-gone'; readonly peer: string }
  /** Something came from a peer: `bytes` of payload that was asked for, or 0 for a sign of life. */
  | { readonly type: 'progress'; readonly peer: string; readonly bytes: number }
  /** A piece came, was verified and is kept. */
  | { readonly type: 'piece-arrived'; readonly digest: Digest; readonly peer: string; readonly piece: number }
  | {
      readonly type: 'piece-failed'
      readonly digest: Digest
      readonly peer: string
      readonly piece: number
      readonly reason: PieceFailure
    }
  /** A reader waits for this piece; those that follow it will be wanted next. */
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
  /** The peer has just given it to another member of this node's zone, from whom it can be had soon. */
  | 'given'
  /** The request was lost with its stream. */
  | 'lost'

/** What is to be done, in this order. */
export type SwarmAction =
  | { readonly type: 'request'; readonly digest: Digest; readonly peer: string; readonly piece: number }
  | { readonly type: 'cancel'; readonly digest: Digest; readonly peer: string; readonly piece: number }
  /** Tell those who joined this blob here that this node brings in these pieces. */
  | { readonly type: 'tell-fetching'; readonly digest: Digest; readonly pieces: readonly number[] }
  /** The peer is not to be talked to for a while. */
  | { readonly type: 'ban'; readonly peer: string; readonly reason: BanReason; readonly forMs: number }
  /** There are too few sources: look for more, then tell `search-ended`. */
  | { readonly type: 'find-peers'; readonly digest: Digest }
  /** All pieces are here. */
  | { readonly type: 'complete'; readonly digest: Digest }
  /** Nobody brought anything for too long. */
  | { readonly type: 'give-up'; readonly digest: Digest }

export type BanReason = 'wrong-bytes' | 'malformed' | 'silent'

import type { Digest } from '@layermesh/oci'
import type { PeerScope } from './events.ts'

/** What happened to the giving side, told to {@link UploadScheduler.step}. */
export type UploadEvent =
  /** A peer asks for a piece that is here. */
  | {
      readonly type: 'requested'
      /** Chosen by the caller; names the request from now on. */
      readonly request: number
      readonly peer: string
      /** The zone that the peer is in, and whether that is near. */
      readonly zone: string
      readonly scope: PeerScope
      readonly digest: Digest
      readonly piece: number
      readonly bytes: number
      /** How many pieces the blob has; one of a single piece is not shared by its pieces, but given to all. */
      readonly pieces: number
      /** Whether this node has all of the blob, or brings it into the mesh: an origin for those who want it. */
      readonly whole: boolean
    }
  /** The peer took a request back, or the node can't serve it. */
  | { readonly type: 'cancelled'; readonly request: number }
  /** So many more bytes of it were taken by the connection. */
  | { readonly type: 'sent'; readonly request: number; readonly bytes: number }
  /** All of it was sent. */
  | { readonly type: 'finished'; readonly request: number }
  | { readonly type: 'peer-gone'; readonly peer: string }
  /** Time has passed. */
  | { readonly type: 'tick' }

/** What is to be done, in this order. */
export type UploadAction =
  | { readonly type: 'send'; readonly request: number }
  | { readonly type: 'reject'; readonly request: number; readonly reason: UploadRefusal }

export type UploadRefusal =
  /** Too much is waiting already. */
  | 'busy'
  /** Another member of the peer's zone has just been given the piece. */
  | 'given'

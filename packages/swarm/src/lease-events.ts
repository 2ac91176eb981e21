import type { Digest } from '@layermesh/oci'

/** What happened at an arbiter, told to {@link LeaseBook.step}. A lease is for one blob and one zone. */
export type LeaseEvent =
  /** A peer would bring the blob into the mesh, or be told who does. */
  | {
      readonly type: 'acquire'
      readonly peer: string
      readonly zone: string
      readonly digest: Digest
      /** Who held the lease by the word of another arbiter, which is gone. */
      readonly holder?: string
      /** It brings the blob in already, by a lease of another arbiter. */
      readonly holding?: boolean
      /** It knows of those who bring the blob in, and gets nothing. */
      readonly stalled?: boolean
    }
  /** A peer wants to be told who brings the blob in, but can't do so itself. */
  | { readonly type: 'follow'; readonly peer: string; readonly zone: string; readonly digest: Digest }
  /** A holder still brings the blob in. */
  | { readonly type: 'renew'; readonly peer: string; readonly zone: string; readonly digest: Digest }
  /** A peer no longer brings the blob in, or no longer wants to. */
  | {
      readonly type: 'release'
      readonly peer: string
      readonly zone: string
      readonly digest: Digest
      readonly reason: LeaseEnd
    }
  /** The connection to a peer is gone. */
  | { readonly type: 'gone'; readonly peer: string }
  /** Time has passed; due every second or so. */
  | { readonly type: 'tick' }

/** `done`: it has all of the blob. `failed`: it could not get it. `left`: it does not want it any more. */
export type LeaseEnd = 'done' | 'failed' | 'left'

/** What an arbiter tells a peer that asked. */
export type LeaseAction =
  /** Bring the blob in. */
  | { readonly type: 'granted'; readonly peer: string; readonly digest: Digest }
  /** Another one brings it in, or has just done so. */
  | { readonly type: 'held'; readonly peer: string; readonly digest: Digest; readonly holder: string }
  /** `failed`: those who tried could not get it. `busy`: this arbiter has no room for more. */
  | { readonly type: 'refused'; readonly peer: string; readonly digest: Digest; readonly reason: 'failed' | 'busy' }

/** The bounds and deadlines of an arbiter. */
export interface LeaseOptions {
  /** A holder from whom nothing was heard for so long holds no more. @default 3000 */
  readonly lapseMs: number
  /** Holders of one lease at one time: a second one when others get nothing from the first. @default 2 */
  readonly maxHolders: number
  /** Who brought a blob in is named to others for so long. @default 60000 */
  readonly sourceMs: number
  /** Peers that may fail to get a blob, and tries of one of them, until all others are refused. @default 3 */
  readonly maxFailedPeers: number
  readonly maxTriesPerPeer: number
  /** Failures are forgotten after so long. @default 5000 */
  readonly failureMs: number
  /** Leases that one peer may hold or wait for, and leases in all. @default 1024, 16384 */
  readonly maxPerPeer: number
  readonly maxLeases: number
}

export const LEASE_DEFAULTS: LeaseOptions = Object.freeze({
  lapseMs: 3_000,
  maxHolders: 2,
  sourceMs: 60_000,
  maxFailedPeers: 3,
  maxTriesPerPeer: 4,
  failureMs: 5_000,
  maxPerPeer: 1_024,
  maxLeases: 16_384
})

import type { PeerSummary, TransferSource, TransferSummary } from '@layermesh/mesh'
import type { Digest, ImageReference, Repository, Tag } from '@layermesh/oci'

/** What a node tells of itself. */
export interface NodeStatus {
  readonly peerId: string
  readonly role: 'seed' | 'node'
  readonly zone: string
  readonly version: string
  /** RFC 3339. */
  readonly startedAt: string
  /** Full multiaddrs to join through. */
  readonly meshAddresses: readonly string[]
  /** `http://HOST:PORT` or `https://HOST:PORT` of the registry API. */
  readonly registry: string
  /** `http://HOST:PORT` of the mirror listener, when there is one. */
  readonly mirror?: string
  /** How many peers are connected. */
  readonly peers: number
  readonly store: StoreStatus
  /** Whether clients can be served. */
  readonly ready: boolean
  /** Why not, a line each; empty when it is ready. */
  readonly notReady: readonly string[]
}

export interface StoreStatus {
  /** Blobs that are wholly here. */
  readonly blobs: number
  /** Sum of the lengths of whole and partial blobs on disk. */
  readonly bytes: number
  /** Blobs that are arriving. */
  readonly arriving: number
  /** Space left on the disk, in bytes. */
  readonly freeBytes?: number
  /** What the store may take up, in bytes; undefined without a quota. */
  readonly limitBytes?: number
  /** What must stay free on the disk, in bytes. */
  readonly minFreeBytes: number
  /** Sum of the lengths of blobs here that stay since they are pinned. */
  readonly pinnedBytes: number
  /** Whether something was refused for want of space, and there is none yet. */
  readonly full: boolean
}

/** A tag that this node has a signed record of. */
export interface ImageSummary {
  readonly repository: Repository
  readonly tag: Tag
  readonly digest: Digest
  /** Length of the manifest and, as far as they are known here, of all that it names, in bytes. */
  readonly size: number
  /** Peer id of the signer. */
  readonly signedBy: string
  readonly sequence: number
  /** When an authority last confirmed it; RFC 3339. */
  readonly confirmedAt: string
  /** Whether the manifest and all that it names are wholly here. */
  readonly complete: boolean
}

/** How far one part of an image is: a manifest, a config or a layer. */
export interface PullProgress {
  readonly digest: Digest
  readonly mediaType: string
  /** Length in bytes. */
  readonly size: number
  /** Bytes of it that are here. */
  readonly heldBytes: number
  /** Who brought them; those that were here before have no source. */
  readonly sources: readonly TransferSource[]
}

/** An image that is wholly here. */
export interface PullResult {
  readonly repository: Repository
  readonly tag?: Tag
  /** Of the manifest. */
  readonly digest: Digest
  readonly mediaType: string
  /** Length of all its parts, in bytes. */
  readonly size: number
  /** How many of them were taken in by this pull; the rest was here before. */
  readonly receivedBytes: number
  readonly sources: readonly TransferSource[]
}

/** One line of the answer to a pull; the last one is `done` or `error`. */
export type PullEvent =
  | { readonly type: 'progress'; readonly progress: PullProgress }
  | { readonly type: 'done'; readonly result: PullResult }
  | { readonly type: 'error'; readonly error: { readonly code: string; readonly message: string } }

/** How far a node is with an image that it was told to fetch. */
export interface NodePrefetch {
  readonly peerId: string
  /** `unknown` when it has not told. */
  readonly zone: string
  /** `lost`: it was reached and is not any more, and is tried again. */
  readonly state: 'connecting' | 'waiting' | 'fetching' | 'lost' | 'done' | 'failed'
  /** Length of all parts as far as they are known, in bytes. */
  readonly size: number
  /** How many of them are there. */
  readonly heldBytes: number
  /** How many were taken in for this. */
  readonly receivedBytes: number
  /** Of the manifest, once it is done. */
  readonly digest?: Digest
  /** Why it failed. */
  readonly error?: { readonly code: string; readonly message: string }
}

/** How many nodes were to fetch an image, and how many of them did not. */
export interface PrefetchResult {
  readonly nodes: number
  readonly failed: number
}

/** One line of the answer to a prefetch; the last one is `done` or `error`. */
export type PrefetchEvent =
  | { readonly type: 'progress'; readonly progress: NodePrefetch }
  | { readonly type: 'done'; readonly result: PrefetchResult }
  | { readonly type: 'error'; readonly error: { readonly code: string; readonly message: string } }

/** What the admin API shows of a node; `node` implements it, tests bring their own. */
export interface NodeView {
  status(): NodeStatus
  peers(): readonly PeerSummary[]
  images(): Promise<readonly ImageSummary[]>
  transfers(): readonly TransferSummary[]
  /**
   * Brings an image into this node. `onProgress` may be called often, also with what was told before.
   * @throws {OciError} MANIFEST_UNKNOWN, BLOB_UNKNOWN when nobody has it; others as they come. Ends soon after `signal` aborted.
   */
  pull(
    reference: ImageReference,
    onProgress: (progress: PullProgress) => void,
    signal: AbortSignal
  ): Promise<PullResult>
}

import type { Digest, Repository, Tag } from '@layermesh/oci'
import type { FileSystem } from './disk/file-system.ts'
import type { SpaceLimit } from './disk/free-space.ts'
import type { Removal, StoreSpace, TagEntry } from './interfaces.ts'

const MIB = 1024 * 1024

/** What was found when the disk held other bytes than were stored. */
export interface Corruption {
  readonly digest: Digest
  /** The pieces that are bad; empty when the whole file was missing or of a wrong length. */
  readonly pieces: readonly number[]
}

/** How {@link openContentStore} is told what to do. */
export interface ContentStoreOptions {
  /** Free space below which nothing more is written. @default 64 MiB */
  readonly minFree: SpaceLimit
  /**
   * Free space below which what can be spared is removed. What is written may still take it, down to `minFree`.
   * @default none
   */
  readonly keepFree: SpaceLimit
  /** What the store may take up; undefined lets it grow up to `minFree`. @default undefined */
  readonly maxSize: SpaceLimit | undefined
  /** When more than this share of `maxSize` is used, what can be spared is removed. @default 0.95 */
  readonly highWatermark: number
  /** And that goes on until no more than this share is used. @default 0.85 */
  readonly lowWatermark: number
  /** Whether what is in a repository must stay, since others count on this node for it. @default of none */
  readonly retains: (repository: Repository) => boolean
  /**
   * Whether nothing would be lost with an entry of a tag, a tombstone too: a garbage collection forgets it then, with its
   * history. @default of none
   */
  readonly mayForgetTag: (entry: TagEntry & { repository: Repository; tag: Tag }) => Promise<boolean>
  /**
   * An image in a repository that is not retained, whose manifest was removed to make room, is forgotten so long after it
   * came, in ms. @default 2592000000 (30 days)
   */
  readonly forgetImagesMs: number
  /** How long a blob stays after it was used or told to be here, in ms. @default 300000 (5 min) */
  readonly leaseMs: number
  /** Blobs whose leases are remembered one by one; with more, nothing is removed until leases are over. @default 32768 */
  readonly maxLeases: number
  /** How often the uses of blobs are written down, in ms; after a crash the last ones are not known. @default 60000 */
  readonly saveUsesMs: number
  /** How often the free space and the quota are looked after, in ms. @default 10000 */
  readonly tendMs: number
  /** What was used within so long is no garbage, in ms. @default 7200000 (2 h) */
  readonly garbageGraceMs: number
  /** An unfinished download is garbage when nobody went on with it for so long, in ms. @default 86400000 (24 h) */
  readonly partialIdleMs: number
  /** Rows of metadata that the garbage collector looks at in a second. @default 5000 */
  readonly garbageRowsPerSecond: number
  /** The longest blob that is pushed or downloaded, in bytes. @default 1099511627776 (1 TiB) */
  readonly maxBlobBytes: number
  /** Downloads that run at the same time; more wait for their turn. @default 64 */
  readonly maxDownloads: number
  /** Downloads that wait for their turn; more are refused with BUSY. @default 4096 */
  readonly maxWaitingDownloads: number
  /** A download's pieces are made durable after so many bytes came in. @default 33554432 (32 MiB) */
  readonly flushBytes: number
  /** A download's pieces are made durable at the latest after so long, in ms. @default 1000 */
  readonly flushMs: number
  /** Upload sessions in all; more are refused with TOOMANYREQUESTS. @default 1000 */
  readonly maxUploads: number
  /** Upload sessions of one repository. @default 100 */
  readonly maxUploadsPerRepository: number
  /** An upload session ends when nothing was appended for so long, in ms. @default 3600000 (1 h) */
  readonly uploadIdleMs: number
  /** How often idle upload sessions are looked for, in ms. @default 60000 */
  readonly uploadSweepMs: number
  /** Threads that read and hash; they start when there is work. @default 2 */
  readonly hashThreads: number
  /** A thread without work ends after so long, in ms. @default 30000 */
  readonly hashThreadIdleMs: number
  /** Blobs whose files and piece hashes stay open between reads. @default 64 */
  readonly maxOpenBlobs: number
  /** Changes that are remembered of each tag; the oldest are dropped. @default 1000 */
  readonly maxTagHistory: number
  /** Memory for what is known of the pieces of blobs that are not open, in bytes; 48 for each piece. @default 8388608 (8 MiB) */
  readonly maxChecksBytes: number
  /** Containerd's content store, whose blobs are given to others too; it is only read. @default none */
  readonly containerd: string | undefined
  /** Whoever asks for a blob of it that was not read through yet waits so long for that, in ms. @default 1500 */
  readonly containerdPatienceMs: number
  /** Told of every corruption, for the log. @default nobody */
  readonly onCorrupt: (corruption: Corruption) => void
  /** Told of all bytes that are removed to make room or as garbage. @default nobody */
  readonly onRemoved: (removal: Removal) => void
  /** Told once when something is refused for want of space, and once when there is space for it. @default nobody */
  readonly onFull: (space: StoreSpace) => void
  /**
   * Told once when less than `keepFree` is free although all was removed that can be spared, and once when there is more
   * again. @default nobody
   */
  readonly onScarce: (isScarce: boolean, space: StoreSpace) => void
  /** Told when the store could not look after itself: note uses, or make room. It tries again. @default nobody */
  readonly onUpkeepFailed: (error: unknown) => void
  /** The time in ms since 1970. @default Date.now */
  readonly now: () => number
  /** Where files are kept. @default node:fs/promises */
  readonly fileSystem: FileSystem
}

export const DEFAULT_OPTIONS: Omit<ContentStoreOptions, 'fileSystem'> = Object.freeze({
  minFree: Object.freeze({ bytes: 64 * MIB }),
  keepFree: Object.freeze({ bytes: 0 }),
  maxSize: undefined,
  highWatermark: 0.95,
  lowWatermark: 0.85,
  retains: () => false,
  mayForgetTag: async () => false,
  forgetImagesMs: 30 * 86_400_000,
  leaseMs: 300_000,
  maxLeases: 32_768,
  saveUsesMs: 60_000,
  tendMs: 10_000,
  garbageGraceMs: 7_200_000,
  partialIdleMs: 86_400_000,
  garbageRowsPerSecond: 5_000,
  maxBlobBytes: MIB * MIB,
  maxDownloads: 64,
  maxWaitingDownloads: 4096,
  flushBytes: 32 * MIB,
  flushMs: 1000,
  maxUploads: 1000,
  maxUploadsPerRepository: 100,
  uploadIdleMs: 3_600_000,
  uploadSweepMs: 60_000,
  hashThreads: 2,
  hashThreadIdleMs: 30_000,
  maxOpenBlobs: 64,
  maxTagHistory: 1000,
  maxChecksBytes: 8 * MIB,
  containerd: undefined,
  containerdPatienceMs: 1_500,
  onCorrupt: () => {},
  onRemoved: () => {},
  onFull: () => {},
  onScarce: () => {},
  onUpkeepFailed: () => {},
  now: Date.now
})

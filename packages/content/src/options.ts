import type { Digest } from '@layermesh/oci'
import type { FileSystem } from './disk/file-system.ts'

const MIB = 1024 * 1024

/** What was found when the disk held other bytes than were stored. */
export interface Corruption {
  readonly digest: Digest
  /** The pieces that are bad; empty when the whole file was missing or of a wrong length. */
  readonly pieces: readonly number[]
}

/** How {@link openContentStore} is told what to do. */
export interface ContentStoreOptions {
  /** Free bytes below which nothing more is written. @default 67108864 (64 MiB) */
  readonly minFreeBytes: number
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
  /** Told of every corruption, for the log. @default nobody */
  readonly onCorrupt: (corruption: Corruption) => void
  /** The time in ms since 1970. @default Date.now */
  readonly now: () => number
  /** Where files are kept. @default node:fs/promises */
  readonly fileSystem: FileSystem
}

export const DEFAULT_OPTIONS: Omit<ContentStoreOptions, 'fileSystem'> = Object.freeze({
  minFreeBytes: 64 * MIB,
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
  onCorrupt: () => {},
  now: Date.now
})

import { setTimeout as sleep } from 'node:timers/promises'
import { type ByteRange, type Digest, pieceLengthFor } from '@layermesh/oci'
import { OpenBlobs } from '../blobs/open-blobs.ts'
import { WholeBlob } from '../blobs/whole-blob.ts'
import { openWholeReader } from '../blobs/whole-reader.ts'
import type { HashPool } from '../hashing/hash-pool.ts'
import { PieceChecks } from '../hashing/piece-checks.ts'
import { readWhole } from '../hashing/verified-pieces.ts'
import type { BlobReader, BlobStat, PieceHashes, SharedContent } from '../interfaces.ts'
import { KeyedLock } from '../keyed-lock.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { Tables } from '../metadata/tables.ts'
import type { Corruption } from '../options.ts'
import { type SharedFile, SharedFiles } from './shared-files.ts'
import { type VerifiedFile, Verifier, type VerifierOptions } from './verifier.ts'

export interface SharedBlobsComponents {
  readonly metadata: Metadata
  readonly tables: Tables
  readonly pool: HashPool
  readonly onCorrupt: (corruption: Corruption) => void
}

export interface SharedBlobsOptions extends VerifierOptions {
  /** Whoever asks for a blob that was not verified yet waits so long for that, in ms. */
  readonly patienceMs: number
  /** Files that stay open between reads: what is removed in between takes up space as long. */
  readonly maxOpen: number
  /** Blobs that are looked at. */
  readonly maxBlobs: number
  /** Files of other bytes than their names say that are remembered. */
  readonly maxWrong: number
}

const DEFAULTS: SharedBlobsOptions = Object.freeze({
  concurrency: 2,
  maxWaiting: 64,
  backgroundBytesPerSecond: 64 * 1024 * 1024,
  patienceMs: 1_500,
  maxOpen: 8,
  maxBlobs: 65_536,
  maxWrong: 1_024
})

/**
 * Blobs that containerd has on this host, given to others without a second copy. They are read, and nothing else; they
 * come and go as containerd likes. Each is read through once before anything of it is given out: whether it is what its
 * name says, and for the hashes of its pieces, which are remembered as long as it is the same file. Each piece is
 * verified again when it is read.
 */
export class SharedBlobs implements SharedContent {
  readonly #components: SharedBlobsComponents
  readonly #options: SharedBlobsOptions
  readonly #files: SharedFiles
  readonly #verifier: Verifier
  readonly #open: OpenBlobs
  /** What was there and right when it was looked at last. */
  readonly #known = new Map<Digest, number>()
  /** Identities of files that hold other bytes than their names say. */
  readonly #wrong = new Set<string>()

  /** @param directory containerd's content store */
  constructor(components: SharedBlobsComponents, directory: string, options: Partial<SharedBlobsOptions> = {}) {
    this.#components = components
    this.#options = { ...DEFAULTS, ...options }
    this.#files = new SharedFiles(directory)
    this.#verifier = new Verifier({ pool: components.pool, open: (digest) => this.#files.open(digest) }, this.#options)
    const open = (digest: Digest) => this.#openBlob(digest)
    this.#open = new OpenBlobs({ open, lock: new KeyedLock() }, this.#options.maxOpen)
  }

  async stat(digest: Digest): Promise<BlobStat | undefined> {
    const blob = await this.#open.acquire(digest)
    if (blob === undefined) return undefined
    blob.release()
    return { digest, size: blob.size }
  }

  open(digest: Digest): Promise<BlobReader | undefined> {
    return openWholeReader(this.#open, digest)
  }

  async readAt(digest: Digest, range: ByteRange, spare?: ArrayBuffer): Promise<Uint8Array | undefined> {
    const blob = await this.#open.acquire(digest)
    if (blob === undefined) return undefined
    try {
      return await readWhole(blob, range, spare)
    } finally {
      blob.release()
    }
  }

  async pieceHashes(digest: Digest): Promise<PieceHashes | undefined> {
    const blob = await this.#open.acquire(digest)
    if (blob === undefined) return undefined
    const { pieceLength, checks } = blob
    blob.release()
    return { pieceLength, hashes: new Uint8Array(checks.hashes) }
  }

  async look(signal: AbortSignal): Promise<BlobStat[]> {
    const listed = new Set(await this.#files.list(this.#options.maxBlobs))
    await this.#forgetAllBut(listed)
    for (const digest of listed) {
      if (signal.aborted) break
      if (!this.#known.has(digest)) await this.#learn(digest)
    }
    return [...this.#known].map(([digest, size]) => ({ digest, size }))
  }

  async close(): Promise<void> {
    await this.#verifier.close()
    await this.#files.close()
  }

  async #learn(digest: Digest): Promise<void> {
    const opened = await this.#files.open(digest)
    if (opened === undefined) return
    opened.file.release()
    if (this.#wrong.has(opened.identity)) return
    const known = await this.#remembered(digest, opened)
    if (known !== undefined || (await this.#verify(digest, false)) !== undefined) this.#known.set(digest, opened.size)
  }

  async #openBlob(digest: Digest): Promise<WholeBlob | undefined> {
    const opened = await this.#files.open(digest)
    if (opened === undefined) return undefined
    const hashes = this.#wrong.has(opened.identity) ? undefined : await this.#hashesOf(digest, opened)
    if (hashes === undefined) {
      opened.file.release()
      return undefined
    }
    const { file, size } = opened
    const { pool } = this.#components
    const onCorrupt = (piece: number) => this.#convict(digest, opened.identity, piece)
    const record = { digest, size, pieceLength: pieceLengthFor(size), checks: new PieceChecks(hashes) }
    return new WholeBlob({ file, pool, onCorrupt }, record)
  }

  /** Those that are remembered, else those that reading it through gives in time; it goes on if that takes longer. */
  async #hashesOf(digest: Digest, opened: SharedFile): Promise<Uint8Array | undefined> {
    const known = await this.#remembered(digest, opened)
    if (known !== undefined) return known
    const verifying = this.#verify(digest, true)
    verifying.catch(() => {})
    const verified = await Promise.race([verifying, sleep(this.#options.patienceMs, undefined, { ref: false })])
    return verified?.identity === opened.identity ? verified.hashes : undefined
  }

  async #remembered(digest: Digest, { identity }: SharedFile): Promise<Uint8Array | undefined> {
    const { tables } = this.#components
    const row = await tables.shared.get(digest)
    return row?.identity === identity ? await tables.sharedPieces.get(digest) : undefined
  }

  async #verify(digest: Digest, urgent: boolean): Promise<VerifiedFile | undefined> {
    const outcome = await this.#verifier.verify(digest, urgent)
    if (outcome === undefined) return undefined
    if ('wrong' in outcome) {
      this.#remember(outcome.wrong)
      this.#components.onCorrupt({ digest, pieces: [] })
      return undefined
    }
    const { metadata, tables } = this.#components
    const { identity, size, hashes } = outcome.verified
    await metadata.write([tables.shared.put([digest], { identity, size }), tables.sharedPieces.put([digest], hashes)])
    return outcome.verified
  }

  async #convict(digest: Digest, identity: string, piece: number): Promise<void> {
    this.#remember(identity)
    await this.#forget(digest)
    this.#components.onCorrupt({ digest, pieces: [piece] })
  }

  #remember(identity: string): void {
    this.#wrong.add(identity)
    for (const oldest of this.#wrong) {
      if (this.#wrong.size <= this.#options.maxWrong) break
      this.#wrong.delete(oldest)
    }
  }

  async #forgetAllBut(listed: ReadonlySet<Digest>): Promise<void> {
    for await (const [[digest]] of this.#components.tables.shared.range([])) {
      if (!listed.has(digest as Digest)) await this.#forget(digest as Digest)
    }
  }

  async #forget(digest: Digest): Promise<void> {
    const { metadata, tables } = this.#components
    this.#known.delete(digest)
    this.#open.retire(digest)
    await metadata.write([tables.shared.del([digest]), tables.sharedPieces.del([digest])])
  }
}

import { type Digest, pieceLengthFor } from '@layermesh/oci'
import type { Guards } from '../cache/guards.ts'
import type { Files, StoredFile } from '../disk/files.ts'
import type { Layout } from '../disk/layout.ts'
import type { PartialStore } from '../downloads/partial-store.ts'
import { errorCode, isContentError } from '../errors.ts'
import type { HashPool } from '../hashing/hash-pool.ts'
import { PieceChecks } from '../hashing/piece-checks.ts'
import type { BlobStat } from '../interfaces.ts'
import type { KeyedLock } from '../keyed-lock.ts'
import type { Change, Metadata } from '../metadata/metadata.ts'
import type { Tables } from '../metadata/tables.ts'
import type { Corruption } from '../options.ts'
import { OpenBlobs } from './open-blobs.ts'
import { RecentChecks } from './recent-checks.ts'
import { WholeBlob } from './whole-blob.ts'

export interface BlobCatalogComponents {
  readonly metadata: Metadata
  readonly tables: Tables
  readonly files: Files
  readonly layout: Layout
  readonly pool: HashPool
  readonly partials: PartialStore
  /** By digest: held while a blob comes, goes or changes between whole and unfinished. */
  readonly lock: KeyedLock
  readonly guards: Guards
  /** In ms since 1970. */
  readonly now: () => number
  readonly onCorrupt: (corruption: Corruption) => void
}

export interface BlobCatalogOptions {
  readonly maxOpenBlobs: number
  readonly maxChecksBytes: number
}

/** A file that is about to become a blob: complete, durable, its digest verified. */
export interface NewBlob extends BlobStat {
  readonly path: string
  /** Of each piece, as {@link pieceLengthFor} its size cuts it. */
  readonly checks: PieceChecks
  /** What else is written in the same step. */
  readonly changes: readonly Change[]
  /** Called in the same step as its length begins to count, so that nobody counts it twice. */
  readonly onCounted?: () => void
}

/** What came of a removal. */
export interface RemovedBlob {
  readonly bytes: number
  readonly whole: boolean
}

/**
 * The whole blobs. A blob is here when its row is: the file is durable under its name before the row is written, and
 * the row goes before the file does. A file without a row is what a crash left; see recovery.ts.
 */
export class BlobCatalog {
  readonly #components: BlobCatalogComponents
  readonly #open: OpenBlobs
  readonly #checks: RecentChecks
  #bytes = 0
  #count = 0

  constructor(components: BlobCatalogComponents, options: BlobCatalogOptions) {
    this.#components = components
    const open = (digest: Digest) => this.#openBlob(digest)
    this.#open = new OpenBlobs({ open, lock: components.lock }, options.maxOpenBlobs)
    this.#checks = new RecentChecks(options.maxChecksBytes)
  }

  /** Sum of the lengths of whole blobs. */
  get bytes(): number {
    return this.#bytes
  }

  /** How many whole blobs there are. */
  get count(): number {
    return this.#count
  }

  /** Counts the blobs that are here. Once, before anything else. */
  async load(): Promise<void> {
    for await (const { size } of this.list()) this.#counted(1, size)
  }

  async stat(digest: Digest): Promise<BlobStat | undefined> {
    const row = await this.#components.tables.blobs.get(digest)
    return row === undefined ? undefined : { digest, size: row.size }
  }

  /** In the order of their digests, from after one on. */
  async *list(page: { readonly after?: Digest; readonly limit?: number } = {}): AsyncGenerator<BlobStat> {
    for await (const [[digest], { size }] of this.#components.tables.blobs.range([], page)) {
      yield { digest: digest as Digest, size }
    }
  }

  /** The blob, open; the caller releases it. Undefined when it isn't whole here. */
  acquire(digest: Digest): Promise<WholeBlob | undefined> {
    return this.#open.acquire(digest)
  }

  /** Makes a file a blob; durable when it resolves. When the blob is here already, that one stays and the file goes. */
  async commit(blob: NewBlob): Promise<void> {
    await this.#components.guards.renew(blob.digest)
    await this.#components.lock.run(blob.digest, async () => {
      const { tables, metadata, files, layout, partials, now } = this.#components
      const { digest, size, path } = blob
      if ((await tables.blobs.get(digest)) !== undefined) {
        await metadata.write(blob.changes)
        await files.remove(path)
        return
      }
      const target = layout.blobFile('blobs', digest)
      await files.makeDirectory(layout.blobDirectory('blobs', digest))
      await files.move(path, target)
      const rows = [
        tables.blobs.put([digest], { size, at: now() }),
        tables.pieceHashes.put([digest], blob.checks.hashes)
      ]
      try {
        await metadata.write([...blob.changes, ...rows])
      } catch (error) {
        await files.move(target, path)
        throw error
      }
      this.#checks.set(digest, blob.checks)
      this.#counted(1, size)
      partials.keptPromise(digest)
      blob.onCounted?.()
      // The blob is here now, whatever becomes of this; what stays is dropped at the next open.
      await partials.discardIfDormant(digest).catch(() => undefined)
    })
  }

  /** Removes a blob; who reads it may finish. Resolves false when it isn't whole here. An unfinished download that is not running goes too. */
  delete(digest: Digest): Promise<boolean> {
    return this.#components.lock.run(digest, async () => {
      const { tables, partials } = this.#components
      await partials.discardIfDormant(digest)
      const row = await tables.blobs.get(digest)
      if (row === undefined) return false
      await this.#remove(digest, row.size)
      return true
    })
  }

  /**
   * Removes what is here of a blob, whole or not, unless somebody needs it, works on it, or `mayGo` says no once nobody
   * can come to need it any more. Who asks `mayGo` waits for nobody, so that who waits for space can ask for it.
   * @returns the bytes that came free; undefined when it stays
   */
  async removeUnneeded(digest: Digest, mayGo: () => Promise<boolean>): Promise<RemovedBlob | undefined> {
    const { guards, lock } = this.#components
    const release = guards.claim(digest)
    if (release === undefined) return undefined
    try {
      return await lock.tryRun(digest, async () => ((await mayGo()) ? await this.#removeAll(digest) : undefined))
    } finally {
      release()
    }
  }

  async #removeAll(digest: Digest): Promise<RemovedBlob | undefined> {
    const { tables, partials } = this.#components
    if (partials.isActive(digest)) return undefined
    const partialBytes = await partials.discardIfDormant(digest)
    const row = await tables.blobs.get(digest)
    if (row !== undefined) await this.#removeForGood(digest, row.size)
    if (row === undefined && partialBytes === undefined) return undefined
    return { bytes: row?.size ?? partialBytes ?? 0, whole: row !== undefined }
  }

  /** The bytes and all that is known of them. On a disk that has no room for the note, the bytes go first. */
  async #removeForGood(digest: Digest, size: number): Promise<void> {
    const { metadata, tables, files, layout } = this.#components
    const { pieceMaps, uses, pushes } = tables
    const changes = [...this.#removal(digest), ...[pieceMaps, uses, pushes].map((table) => table.del([digest]))]
    try {
      await metadata.write(changes)
    } catch (error) {
      if (!isContentError(error, 'DISK_FULL')) throw error
      await files.remove(layout.blobFile('blobs', digest))
      await metadata.write(changes)
    }
    this.#forget(digest, size)
    await files.remove(layout.blobFile('blobs', digest))
  }

  /** Takes a blob back whose file turned out bad: it becomes an unfinished download that lacks `pieces`. */
  demote(digest: Digest, pieces: readonly number[]): Promise<void> {
    return this.#components.lock.run(digest, () => this.#demote(digest, pieces))
  }

  async #demote(digest: Digest, pieces: readonly number[]): Promise<void> {
    const { tables, layout, partials } = this.#components
    const row = await tables.blobs.get(digest)
    if (row === undefined) return
    const hashes = await tables.pieceHashes.get(digest)
    if (hashes === undefined || partials.isActive(digest)) {
      await this.#remove(digest, row.size)
    } else {
      const path = layout.blobFile('blobs', digest)
      await partials.adopt({ digest, size: row.size, hashes, path }, pieces, this.#removal(digest))
      this.#forget(digest, row.size)
    }
    this.#components.onCorrupt({ digest, pieces })
  }

  /** Takes a blob back whose file is missing or of another length. Resolves true if it did. */
  takeBackLost(digest: Digest): Promise<boolean> {
    return this.#components.lock.run(digest, async () => {
      const row = await this.#components.tables.blobs.get(digest)
      if (row === undefined) return false
      const file = await this.#openFile(digest)
      const size = await file?.size()
      file?.release()
      if (size === row.size) return false
      await this.#takeBack(digest, row.size, file !== undefined)
      return true
    })
  }

  #openFile(digest: Digest): Promise<StoredFile | undefined> {
    const { files, layout } = this.#components
    return files.openForReading(layout.blobFile('blobs', digest)).catch((error) => {
      if (errorCode(error) === 'ENOENT') return undefined
      throw error
    })
  }

  async #takeBack(digest: Digest, size: number, hasFile: boolean): Promise<void> {
    if (hasFile) return await this.#demote(digest, [])
    await this.#remove(digest, size)
    this.#components.onCorrupt({ digest, pieces: [] })
  }

  /** Opens the file of a blob; a file that is missing or of another length takes the blob back. */
  async #openBlob(digest: Digest): Promise<WholeBlob | undefined> {
    const { tables, pool } = this.#components
    const row = await tables.blobs.get(digest)
    const hashes = row && (await tables.pieceHashes.get(digest))
    if (row === undefined || hashes === undefined) return undefined
    const file = await this.#openFile(digest)
    const size = await file?.size()
    if (file !== undefined && size === row.size) {
      const onCorrupt = (piece: number) => this.demote(digest, [piece])
      const checks = this.#checks.get(digest) ?? new PieceChecks(hashes)
      this.#checks.set(digest, checks)
      return new WholeBlob({ file, pool, onCorrupt }, { digest, size, pieceLength: pieceLengthFor(size), checks })
    }
    file?.release()
    await this.#takeBack(digest, row.size, file !== undefined)
    return undefined
  }

  #removal(digest: Digest): Change[] {
    const { tables } = this.#components
    return [tables.blobs.del([digest]), tables.pieceHashes.del([digest])]
  }

  async #remove(digest: Digest, size: number): Promise<void> {
    const { metadata, files, layout } = this.#components
    await metadata.write(this.#removal(digest))
    this.#forget(digest, size)
    await files.remove(layout.blobFile('blobs', digest))
  }

  #forget(digest: Digest, size: number): void {
    this.#counted(-1, size)
    this.#open.retire(digest)
    this.#checks.delete(digest)
  }

  #counted(blobs: 1 | -1, size: number): void {
    this.#count += blobs
    this.#bytes += blobs * size
  }
}

import { type ByteRange, type Digest, digestAlgorithm, digestOfHash, unlessAborted } from '@layermesh/oci'
import type { BlobCatalog } from '../blobs/blob-catalog.ts'
import { readWholeBlob } from '../blobs/whole-reader.ts'
import type { Layout } from '../disk/layout.ts'
import { ContentError } from '../errors.ts'
import { checkRange, readRange, readWhole, type VerifiedPieces } from '../hashing/verified-pieces.ts'
import type { BeginOptions, BlobReader, BlobSource, BlobStat, PartialBlob, ReadOptions } from '../interfaces.ts'
import type { Corruption } from '../options.ts'
import type { PartialFile } from './partial-file.ts'
import type { PartialRows } from './partial-rows.ts'
import type { PartialStore } from './partial-store.ts'
import { PieceWaiters } from './piece-waiters.ts'

export interface DownloadComponents {
  readonly catalog: BlobCatalog
  readonly partials: PartialStore
  readonly rows: PartialRows
  readonly layout: Layout
  readonly onCorrupt: (corruption: Corruption) => void
}

/** How the search for a blob ended: its length is known, or nobody has it. */
export type Beginning = 'begun' | 'whole' | 'absent'

/**
 * One attempt to bring one blob, with many readers behind it:
 *
 *     looking ── begin() ──► begun ── source true, digest right ──► whole
 *        │ source false        └───── anything else ──────────────► failed
 *        └──────► absent
 */
export class Download {
  readonly digest: Digest
  readonly #components: DownloadComponents
  readonly #waiters = new PieceWaiters()
  readonly #beginning = Promise.withResolvers<Beginning>()
  readonly #finished = Promise.withResolvers<BlobStat>()
  #opening: Promise<PartialFile> | undefined
  #partial: PartialFile | undefined
  #cutThrough = false
  #lastAfterProof = false
  #whole = false
  #sourceDone = false
  #failure: ContentError | undefined

  constructor(components: DownloadComponents, digest: Digest) {
    this.#components = components
    this.digest = digest
    this.#beginning.promise.catch(() => {})
    this.#finished.promise.catch(() => {})
  }

  /** Resolves when readers may come, or nobody will. @throws {ContentError} DOWNLOAD_FAILED */
  get beginning(): Promise<Beginning> {
    return this.#beginning.promise
  }

  /** Resolves once the blob is wholly here. @throws {ContentError} DOWNLOAD_FAILED, also when nobody has the blob */
  get finished(): Promise<BlobStat> {
    return this.#finished.promise
  }

  /** Whether it ended without the blob, though it may still be putting things away. */
  get failed(): boolean {
    return this.#failure !== undefined
  }

  /** What may be shared with others at this moment. */
  get shared(): PartialBlob | undefined {
    return this.#cutThrough ? this.#partial : undefined
  }

  /** Brings the blob. Resolves when the attempt has ended, however it did; `signal` ends it. */
  async run(source: BlobSource, signal: AbortSignal): Promise<void> {
    try {
      if (await this.#isHere()) return
      const found = await this.#ask(source, signal)
      const partial = await this.#opening
      if (partial !== undefined) await this.#complete(partial, found, signal)
      else if (!found) this.#absent()
      else if (!(await this.#isHere())) throw new ContentError('DOWNLOAD_INCOMPLETE', 'the source brought nothing')
    } catch (cause) {
      await this.#fail(cause)
    }
  }

  /** A reader behind the writer; undefined while the length isn't known, and after the attempt ended. */
  reader(): BlobReader | undefined {
    const partial = this.#partial
    if (partial === undefined || this.#failure !== undefined || this.#whole) return undefined
    const { digest, size } = partial
    const read: BlobReader['read'] = (range, signal, options) => this.#read(partial, range, signal, options)
    return { digest, size, complete: false, read }
  }

  /** The bytes of a range for a peer; undefined unless all of its pieces are here and may be shared. */
  async readAt(range: ByteRange, spare?: ArrayBuffer): Promise<Uint8Array | undefined> {
    const partial = this.#partial
    if (partial === undefined || this.shared === undefined || !partial.retain()) return undefined
    try {
      checkRange(range, partial.size)
      const first = Math.floor(range.start / partial.pieceLength)
      for (let piece = first; piece * partial.pieceLength < range.end; piece++) {
        if (!partial.has(piece)) return undefined
      }
      return await readWhole(this.#pieces(partial), range, spare)
    } finally {
      partial.release()
    }
  }

  async #ask(source: BlobSource, signal: AbortSignal): Promise<boolean> {
    const begin = (options: BeginOptions) => {
      const beginning = this.#begin(options, signal)
      // The source may have given up before it looks.
      beginning.catch(() => {})
      return beginning
    }
    try {
      return await unlessAborted(source(this.digest, begin, signal), signal)
    } finally {
      this.#sourceDone = true
    }
  }

  async #begin(options: BeginOptions, signal: AbortSignal): Promise<PartialFile> {
    if (this.#sourceDone) throw new ContentError('DOWNLOAD_FAILED', 'this download has ended')
    if (this.#opening !== undefined) throw new Error('a source begins once')
    this.#opening = this.#open(options, signal)
    return this.#opening
  }

  async #open(options: BeginOptions, signal: AbortSignal): Promise<PartialFile> {
    const partial = await this.#components.partials.open(this.digest, options, this.#waiters, signal)
    this.#cutThrough = options.cutThrough
    this.#lastAfterProof = options.lastAfterProof ?? false
    this.#partial = partial
    this.#beginning.resolve('begun')
    return partial
  }

  async #complete(partial: PartialFile, found: boolean, signal: AbortSignal): Promise<void> {
    if (!found) throw new ContentError('DOWNLOAD_INCOMPLETE', 'the source gave the blob up')
    const { catalog, partials, rows, layout } = this.#components
    const { digest, size, checks } = partial
    const hash = await unlessAborted(partial.finish(), signal)
    if (digestOfHash(digestAlgorithm(digest), hash) !== digest) await this.#refuse(partial)
    const changes = rows.removal(digest, size)
    await catalog.commit({ digest, size, path: layout.blobFile('partial', digest), checks, changes })
    this.#whole = true
    this.#waiters.settleAll()
    await partials.forget(partial)
    this.#finished.resolve({ digest, size })
  }

  /** All pieces came, and the whole is wrong. If the disk is to blame, only what it spoilt has to come again. */
  async #refuse(partial: PartialFile): Promise<never> {
    const bad = await partial.badPieces()
    for (const piece of bad) await partial.drop(piece)
    if (bad.length > 0) {
      this.#components.onCorrupt({ digest: this.digest, pieces: bad })
      throw new ContentError('BLOB_CORRUPT', 'the disk lost pieces that had come')
    }
    await this.#components.partials.discard(partial)
    throw new ContentError('DIGEST_MISMATCH', 'all pieces came, and the whole has another digest')
  }

  async #isHere(): Promise<boolean> {
    const stat = await this.#components.catalog.stat(this.digest)
    if (stat === undefined) return false
    this.#beginning.resolve('whole')
    this.#finished.resolve(stat)
    return true
  }

  #absent(): void {
    this.#beginning.resolve('absent')
    this.#finished.reject(new ContentError('DOWNLOAD_FAILED', 'nobody has the blob'))
  }

  async #fail(cause: unknown): Promise<void> {
    const failure = new ContentError('DOWNLOAD_FAILED', `the download of ${this.digest} failed`, { cause })
    this.#failure = failure
    this.#waiters.failAll(failure)
    this.#beginning.reject(failure)
    this.#finished.reject(failure)
    const partial = await this.#opening?.catch(() => undefined)
    if (partial !== undefined) await this.#components.partials.close(partial)
  }

  async *#read(
    partial: PartialFile,
    range: ByteRange,
    signal?: AbortSignal,
    options?: ReadOptions
  ): AsyncGenerator<Uint8Array> {
    if (this.#failure !== undefined) throw this.#failure
    if (!partial.retain()) {
      yield* readWholeBlob(this.#components.catalog, this.digest, range, signal, options)
      return
    }
    try {
      yield* readRange(this.#pieces(partial), range, signal, options)
    } finally {
      partial.release()
    }
  }

  #pieces(partial: PartialFile): VerifiedPieces {
    const { size, pieceLength } = partial
    return { size, pieceLength, piece: (index, signal, spare) => this.#piece(partial, index, signal, spare) }
  }

  async #piece(partial: PartialFile, index: number, signal: AbortSignal, spare?: ArrayBuffer): Promise<Uint8Array> {
    while (!this.#mayRead(partial, index)) {
      if (this.#failure !== undefined) throw this.#failure
      await this.#waiters.wait(index, signal)
    }
    if (this.#failure !== undefined) throw this.#failure
    const bytes = await partial.read(index, spare)
    if (bytes !== undefined) return bytes
    await this.#takeBack(partial, index)
    throw new ContentError('BLOB_CORRUPT', `piece ${index} of ${this.digest} is not what was stored`)
  }

  #mayRead(partial: PartialFile, index: number): boolean {
    if (this.#whole || !this.#cutThrough) return this.#whole
    return partial.has(index) && !(this.#lastAfterProof && index === partial.pieceCount - 1)
  }

  async #takeBack(partial: PartialFile, index: number): Promise<void> {
    const { catalog, onCorrupt } = this.#components
    if (this.#whole) return catalog.demote(this.digest, [index])
    await partial.drop(index)
    onCorrupt({ digest: this.digest, pieces: [index] })
  }
}

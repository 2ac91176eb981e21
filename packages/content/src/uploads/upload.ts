import {
  type Digest,
  digestAlgorithm,
  digestOfHash,
  OciError,
  pieceLengthFor,
  type Repository,
  unlessAborted
} from '@layermesh/oci'
import type { BlobCatalog } from '../blobs/blob-catalog.ts'
import type { Files, StoredFile } from '../disk/files.ts'
import type { FreeSpace } from '../disk/free-space.ts'
import type { Layout } from '../disk/layout.ts'
import { ContentError, isContentError } from '../errors.ts'
import { hashFilePieces } from '../hashing/file-pieces.ts'
import type { HashPool } from '../hashing/hash-pool.ts'
import { PieceChecks } from '../hashing/piece-checks.ts'
import { type FileChecks, RunningChecks } from '../hashing/running-checks.ts'
import { RunningHash } from '../hashing/running-hash.ts'
import type { BlobStat, Upload } from '../interfaces.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { linkChanges } from '../metadata/repositories.ts'
import type { Tables, UploadRow } from '../metadata/tables.ts'
import { untilAborted } from '../until-aborted.ts'
import { ChunkWriter } from './chunk-writer.ts'

export interface UploadComponents {
  readonly metadata: Metadata
  readonly tables: Tables
  readonly files: Files
  readonly layout: Layout
  readonly pool: HashPool
  readonly space: Pick<FreeSpace, 'reserve'>
  readonly catalog: BlobCatalog
  readonly now: () => number
  /** Called once when the session has ended. */
  readonly onEnd: (id: string) => void
}

export interface UploadOptions {
  readonly maxBlobBytes: number
}

/** What an append may bring. */
interface AppendLimits {
  /** Exactly so many bytes. */
  readonly length: number | undefined
  readonly maxLength: number
}

type AppendOptions = NonNullable<Parameters<Upload['append']>[1]>

// Pieces of almost all blobs are of this length; that of a longer one is known only when all of it is here.
const PIECE_LENGTH = pieceLengthFor(0)

/**
 * An upload session. Its file reaches to the offset, and every offset that was told to anybody is durable: an append
 * syncs the file, then writes the row. Bytes are hashed as they come in.
 */
export class UploadSession implements Upload {
  readonly id: string
  readonly repository: Repository
  readonly #components: UploadComponents
  readonly #options: UploadOptions
  readonly #checks: RunningChecks
  readonly #ending = new AbortController()
  #state: 'open' | 'appending' | 'committing' | 'ended' = 'open'
  #offset: number
  #written = 0
  #isCounted = false
  /** Ends the reservation of what is being written, which counts as written then. */
  #release: () => void = () => {}
  #touchedAt: number
  #busy: Promise<unknown> = Promise.resolve()

  constructor(components: UploadComponents, options: UploadOptions, id: string, row: UploadRow) {
    this.#components = components
    this.#options = options
    this.#checks = new RunningChecks(components.pool, PIECE_LENGTH)
    this.id = id
    this.repository = row.repository
    this.#offset = row.offset
    this.#touchedAt = row.touchedAt
  }

  get offset(): number {
    return this.#offset
  }

  /** What the file takes up: the offset, and what was written after it, in bytes. */
  get writtenBytes(): number {
    return this.#isCounted ? 0 : Math.max(this.#offset, this.#written)
  }

  /** Whether nothing was appended since `time`, in ms since 1970, and nothing is being done. */
  idleSince(time: number): boolean {
    return this.#state === 'open' && this.#touchedAt <= time
  }

  append(bytes: AsyncIterable<Uint8Array>, options: AppendOptions = {}): Promise<number> {
    return this.#exclusively('appending', async () => {
      if (options.start !== undefined && options.start !== this.#offset) {
        throw new OciError('RANGE_INVALID', 'the chunk does not start where the upload is', {
          detail: { offset: this.#offset }
        })
      }
      const file = await this.#openFile()
      try {
        return await this.#append(file, bytes, options)
      } catch (error) {
        // What is left behind is dropped at the next open.
        if (this.#isEndedBy(error)) await this.#end().catch(() => {})
        throw error
      } finally {
        file.release()
      }
    })
  }

  commit(digest: Digest): Promise<BlobStat> {
    return this.#exclusively('committing', async () => {
      const file = await this.#openFile()
      try {
        await this.#cutToOffset(file)
        const { hash, checks } = await unlessAborted(this.#check(file, digest), this.#ending.signal)
        if (digestOfHash(digestAlgorithm(digest), hash) !== digest) {
          await this.#end()
          throw new OciError('DIGEST_INVALID', 'the upload has another digest', { detail: { digest } })
        }
        return await this.#makeBlob(digest, checks)
      } finally {
        file.release()
      }
    })
  }

  async cancel(): Promise<void> {
    this.#ending.abort(uploadUnknown())
    await this.#busy.catch(() => {})
    if (this.#state !== 'ended') await this.#end()
  }

  /** Breaks off what is being done, keeping what came, and lets go of everything. The session goes on after a restart. */
  async close(): Promise<void> {
    this.#ending.abort(new ContentError('STORE_CLOSED', 'the store is closed'))
    await this.#busy.catch(() => {})
    this.#state = 'ended'
    await this.#forgetHashes()
  }

  /** Runs `work` alone. @throws {OciError} RANGE_INVALID while something else runs, BLOB_UPLOAD_UNKNOWN after the end */
  async #exclusively<Result>(state: 'appending' | 'committing', work: () => Promise<Result>): Promise<Result> {
    if (this.#state === 'ended' || this.#ending.signal.aborted) throw uploadUnknown()
    if (this.#state !== 'open') throw new OciError('RANGE_INVALID', 'another request is using this upload')
    this.#state = state
    this.#touchedAt = this.#components.now()
    const running = work().finally(() => {
      if (this.#state === state) this.#state = 'open'
    })
    this.#busy = running
    return running
  }

  async #append(file: StoredFile, bytes: AsyncIterable<Uint8Array>, options: AppendOptions): Promise<number> {
    const { space } = this.#components
    const signals = options.signal === undefined ? [] : [options.signal]
    const source = untilAborted(bytes, AbortSignal.any([this.#ending.signal, ...signals]))
    const writer = new ChunkWriter(
      {
        file,
        take: async (bytes) => {
          this.#release = await space.reserve(bytes)
        },
        onWrite: (bytes, position) => this.#checks.take(bytes, position),
        onWritten: (end) => {
          this.#written = end
          this.#release()
          this.#checks.follow(file, end)
        }
      },
      this.#offset
    )
    const limits = { length: options.length, maxLength: this.#options.maxBlobBytes - this.#offset }
    try {
      const brokeOff = await copy(source, writer, limits)
      if (brokeOff !== undefined && options.length !== undefined) throw brokeOff.error
      await writer.flush()
      await this.#acknowledge(writer.end)
      if (brokeOff !== undefined) throw brokeOff.error
    } catch (error) {
      await writer.settle()
      await this.#rollBack(file)
      throw error
    }
    return this.#offset
  }

  /**
   * Whether nobody can go on after this: what is too large will not become smaller, and where there is no space a client
   * that was told of no byte begins anew. One that was told of an offset may come back to it.
   */
  #isEndedBy(error: unknown): boolean {
    return error instanceof UploadTooLargeError || (isContentError(error, 'DISK_FULL') && this.#offset === 0)
  }

  /** All bytes up to `offset` are durable in the file; makes it the offset. */
  async #acknowledge(offset: number): Promise<void> {
    const { files, layout, metadata, tables, now } = this.#components
    const { repository } = this
    const touchedAt = now()
    if (this.#offset === 0) await files.syncDirectory(layout.uploads)
    await metadata.write([tables.uploads.put([this.id], { repository, offset, touchedAt })])
    this.#offset = offset
    this.#touchedAt = touchedAt
  }

  /** Takes away what came after the offset. */
  async #rollBack(file: StoredFile): Promise<void> {
    this.#written = this.#offset
    this.#release()
    await this.#checks.rewind(this.#offset)
    // A disk that refuses even this has the commit cut it.
    await file.truncate(this.#offset).catch(() => {})
  }

  async #cutToOffset(file: StoredFile): Promise<void> {
    if ((await file.size()) === this.#offset) return
    await file.truncate(this.#offset)
    await file.sync()
  }

  /** The hash of the whole as the digest's algorithm has it, and what the pieces of a blob of this length are. */
  async #check(file: StoredFile, digest: Digest): Promise<FileChecks> {
    const { pool } = this.#components
    const size = this.#offset
    const algorithm = digestAlgorithm(digest)
    const pieceLength = pieceLengthFor(size)
    const found = await this.#checks.finish(file, size)
    return {
      hash: algorithm === 'sha256' ? found.hash : await new RunningHash(pool, algorithm).finish(file, size),
      checks:
        pieceLength === PIECE_LENGTH
          ? found.checks
          : new PieceChecks(await hashFilePieces(pool, file, size, pieceLength))
    }
  }

  async #makeBlob(digest: Digest, checks: PieceChecks): Promise<BlobStat> {
    const { catalog, layout, tables, onEnd } = this.#components
    const now = this.#components.now()
    const changes = [
      tables.uploads.del([this.id]),
      ...linkChanges(tables, this.repository, [digest]),
      tables.uses.put([digest], now),
      tables.pushes.put([digest], now)
    ]
    const size = this.#offset
    const onCounted = () => {
      this.#isCounted = true
    }
    await catalog.commit({ digest, size, path: layout.uploadFile(this.id), checks, changes, onCounted })
    this.#state = 'ended'
    onEnd(this.id)
    await this.#forgetHashes()
    return { digest, size }
  }

  async #end(): Promise<void> {
    const { metadata, tables, files, layout, onEnd } = this.#components
    this.#state = 'ended'
    onEnd(this.id)
    await this.#forgetHashes()
    // The bytes first: on a full disk the note needs their room.
    await files.remove(layout.uploadFile(this.id))
    await metadata.write([tables.uploads.del([this.id])])
  }

  async #forgetHashes(): Promise<void> {
    await this.#checks.reset()
  }

  #openFile(): Promise<StoredFile> {
    const { files, layout } = this.#components
    return files.openForWriting(layout.uploadFile(this.id))
  }
}

/** Told apart from what a source fails with: a client that is too slow is refused with the same code, and may go on. */
class UploadTooLargeError extends OciError {}

/** Copies all of `source`. Resolves with the error when the source broke off. @throws {OciError} SIZE_INVALID, BLOB_UPLOAD_INVALID */
async function copy(
  source: AsyncGenerator<Uint8Array>,
  writer: ChunkWriter,
  { length, maxLength }: AppendLimits
): Promise<{ error: unknown } | undefined> {
  let copied = 0
  try {
    for (;;) {
      const next = await source.next().catch((error: unknown) => ({ error }))
      if ('error' in next) return next
      if (next.done) break
      copied += next.value.byteLength
      if (length !== undefined && copied > length) throw sizeInvalid(length)
      if (copied > maxLength) throw new UploadTooLargeError('BLOB_UPLOAD_INVALID', 'the upload is too large')
      await writer.add(next.value)
    }
  } finally {
    await source.return(undefined)
  }
  if (length !== undefined && copied < length) throw sizeInvalid(length)
  return undefined
}

function sizeInvalid(length: number): OciError {
  return new OciError('SIZE_INVALID', `the chunk does not have the ${length} bytes that were announced`)
}

function uploadUnknown(): OciError {
  return new OciError('BLOB_UPLOAD_UNKNOWN', 'there is no such upload')
}

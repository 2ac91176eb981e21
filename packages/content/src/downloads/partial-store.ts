import { type Digest, pieceCount, pieceRange } from '@layermesh/oci'
import type { Files, StoredFile } from '../disk/files.ts'
import type { Space } from '../disk/free-space.ts'
import type { Layout } from '../disk/layout.ts'
import { ContentError, errorCode } from '../errors.ts'
import type { HashPool } from '../hashing/hash-pool.ts'
import { HASH_LENGTH } from '../hashing/lengths.ts'
import { hashOfPiece } from '../hashing/piece-checks.ts'
import { equalBytes } from '../hashing/verified-pieces.ts'
import type { BeginOptions } from '../interfaces.ts'
import type { KeyedLock } from '../keyed-lock.ts'
import type { Change, Metadata } from '../metadata/metadata.ts'
import type { PartialRow } from '../metadata/tables.ts'
import { PartialFile, type PartialFileOptions } from './partial-file.ts'
import { bytesOfPieces, type PartialRows, type PieceHashMap } from './partial-rows.ts'
import type { PieceWaiters } from './piece-waiters.ts'

export interface PartialStoreComponents {
  readonly metadata: Metadata
  readonly rows: PartialRows
  readonly files: Files
  readonly layout: Layout
  readonly pool: HashPool
  readonly space: Space
  /** By digest; the same as the catalog's. */
  readonly lock: KeyedLock
}

export interface PartialStoreOptions extends PartialFileOptions {
  readonly maxBlobBytes: number
}

const MAX_UNRECORDED = 64

/**
 * Unfinished downloads: a sparse file as long as the blob will be, and rows that tell which pieces of it are durable.
 * A download that runs is active: only its {@link PartialFile} touches its file and rows. Others are dormant.
 */
export class PartialStore {
  readonly #components: PartialStoreComponents
  readonly #options: PartialStoreOptions
  /** By blob whose download runs: its length, until that is counted as of a whole blob. */
  readonly #active = new Map<Digest, number>()
  readonly #heldBytes = new Map<Digest, number>()
  /** Durable pieces of dormant downloads that the metadata had no room for. */
  readonly #unrecorded = new Map<Digest, PieceHashMap>()

  constructor(components: PartialStoreComponents, options: PartialStoreOptions) {
    this.#components = components
    this.#options = options
  }

  /** Sum of the lengths of all pieces that are here. */
  get bytes(): number {
    return [...this.#heldBytes.values()].reduce((sum, bytes) => sum + bytes, 0)
  }

  /** What downloads will take up: those that run as long as their blobs are, the others what is here of them. */
  get promisedBytes(): number {
    let sum = 0
    for (const size of this.#active.values()) sum += size
    for (const [digest, bytes] of this.#heldBytes) if (!this.#active.has(digest)) sum += bytes
    return sum
  }

  /** The blob of a download is whole, and counted as that. */
  keptPromise(digest: Digest): void {
    if (!this.#active.has(digest)) return
    this.#active.set(digest, 0)
    this.#heldBytes.delete(digest)
  }

  /** The downloads that do not run, with the bytes that are here of each. */
  dormant(): [Digest, number][] {
    return [...this.#heldBytes].filter(([digest]) => !this.#active.has(digest))
  }

  /** Counts what is here. Once, before anything else. */
  async load(): Promise<void> {
    const { rows } = this.#components
    for await (const [digest, { size }] of rows.list()) {
      const pieces = await rows.pieces(digest)
      this.#heldBytes.set(digest, bytesOfPieces(pieces.keys(), size))
    }
  }

  /** Whether a download of this blob runs. */
  isActive(digest: Digest): boolean {
    return this.#active.has(digest)
  }

  /**
   * Opens the unfinished download of a blob, or begins one; it is active until it is closed, forgotten or discarded.
   * What an earlier attempt left is read and hashed before any of it counts as being here.
   * @throws {ContentError} DISK_FULL, BLOB_TOO_LARGE
   */
  async open(digest: Digest, begin: BeginOptions, waiters: PieceWaiters, signal: AbortSignal): Promise<PartialFile> {
    checkBegin(begin, this.#options.maxBlobBytes)
    const { pool, lock, rows, metadata } = this.#components
    const { file, claimed, unrecorded } = await lock.run(digest, () => this.#activate(digest, begin))
    try {
      const sound = await soundPieces(pool, file, begin.size, claimed, signal)
      const lost = [...claimed.keys()].filter((piece) => !sound.has(piece))
      await metadata.write(rows.delPieces(digest, lost))
      this.#heldBytes.set(digest, 0)
      const count = (bytes: number) => this.#heldBytes.set(digest, (this.#heldBytes.get(digest) ?? 0) + bytes)
      const partial = new PartialFile({ ...this.#components, file, waiters, count }, this.#options, {
        ...begin,
        digest
      })
      partial.restore(sound, unrecorded)
      this.#unrecorded.delete(digest)
      return partial
    } catch (error) {
      file.release()
      this.#active.delete(digest)
      throw error
    }
  }

  /** Ends an attempt; what came of the blob stays for the next. */
  async close(partial: PartialFile): Promise<void> {
    await partial.close()
    this.#remember(partial)
    this.#active.delete(partial.digest)
  }

  #remember({ digest, unrecorded }: PartialFile): void {
    if (unrecorded.size === 0) return
    this.#unrecorded.set(digest, unrecorded)
    for (const oldest of this.#unrecorded.keys()) {
      if (this.#unrecorded.size <= MAX_UNRECORDED) break
      this.#unrecorded.delete(oldest)
    }
  }

  /** Ends an attempt whose file has become a blob, and whose rows are gone. */
  async forget(partial: PartialFile): Promise<void> {
    await partial.close()
    this.#heldBytes.delete(partial.digest)
    this.#active.delete(partial.digest)
  }

  /** Ends an attempt and removes what came of the blob. */
  async discard(partial: PartialFile): Promise<void> {
    const { digest, size } = partial
    await partial.close()
    await this.#components.lock.run(digest, () => this.#discard(digest, size))
    this.#active.delete(digest)
  }

  /**
   * Removes what is here of a blob unless a download of it runs. Under the lock of its digest.
   * @returns how many bytes that were; undefined when there was no download
   */
  async discardIfDormant(digest: Digest): Promise<number | undefined> {
    if (this.#active.has(digest)) return undefined
    const row = await this.#components.rows.get(digest)
    if (row === undefined) return undefined
    const bytes = this.#heldBytes.get(digest) ?? 0
    await this.#discard(digest, row.size)
    return bytes
  }

  /**
   * Takes over the file of a blob that was whole, as an unfinished download that lacks `missing`; `changes` are written
   * in the same step. Under the lock of its digest.
   */
  async adopt(
    blob: { digest: Digest; size: number; hashes: Uint8Array; path: string },
    missing: readonly number[],
    changes: readonly Change[]
  ): Promise<void> {
    const { metadata, rows, files, layout } = this.#components
    const { digest, size, hashes, path } = blob
    await metadata.write([...changes, ...rows.demotion(digest, size, hashes, missing)])
    this.#heldBytes.set(digest, size - bytesOfPieces(missing, size))
    await files.makeDirectory(layout.blobDirectory('partial', digest))
    await files.move(path, layout.blobFile('partial', digest))
  }

  async #activate(
    digest: Digest,
    begin: BeginOptions
  ): Promise<{ file: StoredFile; claimed: PieceHashMap; unrecorded: PieceHashMap }> {
    this.#active.set(digest, begin.size)
    try {
      return await this.#openDormant(digest, begin)
    } catch (error) {
      this.#active.delete(digest)
      throw error
    }
  }

  async #openDormant(
    digest: Digest,
    begin: BeginOptions
  ): Promise<{ file: StoredFile; claimed: PieceHashMap; unrecorded: PieceHashMap }> {
    const { rows, metadata, space, files, layout } = this.#components
    const { size, cutThrough, pieceHashes } = begin
    const path = layout.blobFile('partial', digest)
    const row = await rows.get(digest)
    if (row !== undefined && !mayResume(row, begin)) await this.#discard(digest, row.size)
    const unrecorded: PieceHashMap = this.#unrecorded.get(digest) ?? new Map()
    const claimed: PieceHashMap = new Map([...(await rows.pieces(digest)), ...unrecorded])
    const foreign = [...claimed.keys()].filter((piece) => !isVouched(piece, claimed, pieceHashes))
    for (const piece of foreign) claimed.delete(piece)
    // A process that was killed has left more in the file than it claimed: that room may be written to again.
    await space.check(Math.max(0, size - (await files.occupiedBytes(path))))
    const earlierVouched = claimed.size === 0 || pieceHashes !== undefined || row?.vouched === true
    const vouched = earlierVouched && cutThrough
    await metadata.write([rows.put(digest, { size, vouched }), ...rows.delPieces(digest, foreign)])
    await files.makeDirectory(layout.blobDirectory('partial', digest))
    const file = await files.openForWriting(path)
    try {
      if ((await file.size()) !== size) await file.truncate(size)
    } catch (error) {
      file.release()
      throw error
    }
    return { file, claimed, unrecorded }
  }

  async #discard(digest: Digest, size: number): Promise<void> {
    const { metadata, rows, files, layout } = this.#components
    await metadata.write(rows.removal(digest, size))
    await files.remove(layout.blobFile('partial', digest))
    this.#heldBytes.delete(digest)
    this.#unrecorded.delete(digest)
  }
}

/** Whether pieces of an earlier attempt may be part of this one; see {@link BeginOptions.pieceHashes}. */
function mayResume(row: PartialRow, { size, cutThrough, pieceHashes }: BeginOptions): boolean {
  return row.size === size && (row.vouched || !cutThrough || pieceHashes !== undefined)
}

function isVouched(piece: number, claimed: PieceHashMap, pieceHashes: Uint8Array | undefined): boolean {
  const claim = claimed.get(piece)
  return pieceHashes === undefined || (claim !== undefined && equalBytes(claim, hashOfPiece(pieceHashes, piece)))
}

/** Those of the claimed pieces that the file really holds. */
async function soundPieces(
  pool: HashPool,
  file: StoredFile,
  size: number,
  claimed: PieceHashMap,
  signal: AbortSignal
): Promise<PieceHashMap> {
  const sound: PieceHashMap = new Map()
  for (const [piece, claim] of claimed) {
    signal.throwIfAborted()
    const { start, end } = pieceRange(piece, size)
    try {
      const hash = await file.use((fd) => pool.hashPieces(fd, start, end, end - start))
      if (equalBytes(hash, claim)) sound.set(piece, claim)
    } catch (error) {
      if (errorCode(error) !== 'EIO') throw error
    }
  }
  return sound
}

/** @throws {RangeError} on nonsense; {ContentError} BLOB_TOO_LARGE */
function checkBegin({ size, pieceHashes }: BeginOptions, maxBlobBytes: number): void {
  if (!Number.isSafeInteger(size) || size < 0) throw new RangeError('the length of a blob is a number of bytes')
  if (size > maxBlobBytes) throw new ContentError('BLOB_TOO_LARGE', `a blob may have ${maxBlobBytes} bytes at most`)
  if (pieceHashes !== undefined && pieceHashes.byteLength !== pieceCount(size) * HASH_LENGTH) {
    throw new RangeError('there must be one hash for each piece')
  }
}

import { Bitfield, type Digest, digestAlgorithm, pieceCount, pieceLengthFor, pieceRange } from '@layermesh/oci'
import type { StoredFile } from '../disk/files.ts'
import type { Space } from '../disk/free-space.ts'
import { ContentError, isContentError } from '../errors.ts'
import type { HashPool } from '../hashing/hash-pool.ts'
import { HASH_LENGTH } from '../hashing/lengths.ts'
import { PieceChecks } from '../hashing/piece-checks.ts'
import { RunningHash } from '../hashing/running-hash.ts'
import { equalBytes, readPiece } from '../hashing/verified-pieces.ts'
import type { PartialBlob, WriteOptions } from '../interfaces.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { PartialRows, PieceHashMap } from './partial-rows.ts'
import type { PieceWaiters } from './piece-waiters.ts'

export interface PartialFileComponents {
  readonly metadata: Metadata
  readonly rows: PartialRows
  readonly pool: HashPool
  readonly space: Space
  readonly file: StoredFile
  readonly waiters: PieceWaiters
  /** Told how many bytes came, or went if negative. */
  readonly count: (bytes: number) => void
}

export interface PartialFileOptions {
  readonly flushBytes: number
  readonly flushMs: number
}

export interface PartialFileRecord {
  readonly digest: Digest
  readonly size: number
  /** The SHA-256 of each piece when somebody vouches for them. */
  readonly pieceHashes?: Uint8Array
}

/**
 * The file of a download that runs. A piece is here once it is written; it is claimed on disk, by a row with its hash,
 * only after its bytes are durable. That is done for many pieces at once, as {@link PartialFileOptions} say.
 */
export class PartialFile implements PartialBlob {
  readonly digest: Digest
  readonly size: number
  readonly pieceLength: number
  readonly pieceCount: number
  /** What the pieces must be; of those that are here, if nobody vouched for all. */
  readonly checks: PieceChecks
  readonly #components: PartialFileComponents
  readonly #options: PartialFileOptions
  readonly #hashesVouched: boolean
  readonly #held: Bitfield
  readonly #writing = new Map<number, Promise<Uint8Array>>()
  readonly #digestHash: RunningHash
  readonly #pieceHashIsDigest: boolean
  /** All pieces before this one are here. */
  #frontier = 0
  #unclaimed: number[] = []
  readonly #unrecorded: PieceHashMap = new Map()
  #unclaimedBytes = 0
  #claiming: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #failure: unknown
  #closed = false

  constructor(components: PartialFileComponents, options: PartialFileOptions, record: PartialFileRecord) {
    this.#components = components
    this.#options = options
    this.digest = record.digest
    this.size = record.size
    this.pieceLength = pieceLengthFor(record.size)
    this.pieceCount = pieceCount(record.size)
    this.#hashesVouched = record.pieceHashes !== undefined
    this.checks = new PieceChecks(record.pieceHashes?.slice() ?? new Uint8Array(this.pieceCount * HASH_LENGTH))
    this.#held = new Bitfield(this.pieceCount)
    const algorithm = digestAlgorithm(record.digest)
    this.#pieceHashIsDigest = this.pieceCount === 1 && algorithm === 'sha256'
    this.#digestHash = new RunningHash(components.pool, algorithm)
  }

  /** Pieces that are durable and not claimed, because there was no room to note them. Complete once it is closed. */
  get unrecorded(): PieceHashMap {
    return this.#unrecorded
  }

  get heldPieces(): number {
    return this.#held.count
  }

  has(piece: number): boolean {
    return this.#held.has(piece)
  }

  bitfield(): Uint8Array {
    return this.#held.toBytes()
  }

  pieceHash(piece: number): Uint8Array | undefined {
    return this.has(piece) ? this.checks.hash(piece).slice() : undefined
  }

  awaitedPieces(): number[] {
    return this.#components.waiters.awaited().filter((piece) => !this.has(piece))
  }

  onAwait(listener: (piece: number) => void): () => void {
    return this.#components.waiters.onWait((piece) => {
      if (!this.has(piece)) listener(piece)
    })
  }

  async write(piece: number, bytes: Uint8Array, options: WriteOptions = {}): Promise<Uint8Array> {
    for (let other = this.#writing.get(piece); other !== undefined; other = this.#writing.get(piece)) {
      const failure = await failureOf(other)
      // Who brings the right bytes must not be blamed for another's wrong ones.
      if (failure !== undefined && !isContentError(failure, 'PIECE_MISMATCH')) throw failure
    }
    const task = this.#write(piece, bytes, options).finally(() => this.#writing.delete(piece))
    this.#writing.set(piece, task)
    return await task
  }

  async #write(
    piece: number,
    bytes: Uint8Array,
    { giveMemory = false, hash: expected }: WriteOptions
  ): Promise<Uint8Array> {
    if (this.#closed) throw new ContentError('DOWNLOAD_FAILED', 'this download has ended')
    if (this.#failure !== undefined) throw this.#failure
    this.#checkLength(piece, bytes.byteLength)
    if (this.has(piece)) return bytes
    const { file, space, pool } = this.#components
    await space.take(bytes.byteLength)
    const given = giveMemory ? movable(bytes) : new Uint8Array(bytes)
    const checked = await pool.check(given, this.checks.nonce(piece))
    const { hash, mac } = checked
    const vouched = this.#hashesVouched ? this.checks.hash(piece) : expected
    if (vouched !== undefined && !equalBytes(hash, vouched)) {
      throw new ContentError('PIECE_MISMATCH', `these are not the bytes of piece ${piece} of ${this.digest}`)
    }
    await this.#orDistrust(file.write(checked.bytes, piece * this.pieceLength))
    this.#add(piece, hash)
    this.checks.keepMac(piece, mac)
    this.#claimLater(piece)
    return giveMemory ? checked.bytes : bytes
  }

  /**
   * Takes verified pieces of an earlier attempt for being here.
   * @param unrecorded those that are not claimed yet
   */
  restore(pieces: PieceHashMap, unrecorded: PieceHashMap): void {
    for (const [piece, hash] of pieces) {
      this.#add(piece, hash)
      if (unrecorded.has(piece)) this.#claimLater(piece)
    }
  }

  /** The bytes of a piece that is here, verified; undefined when the disk can't give them back. */
  read(index: number, spare?: ArrayBuffer): Promise<Uint8Array | undefined> {
    const { pool, file } = this.#components
    const { size, pieceLength, checks } = this
    return readPiece(pool, file, { index, size, pieceLength, checks }, spare)
  }

  /** A piece turned out bad on disk: it isn't here any more, and may be written again. */
  async drop(piece: number): Promise<void> {
    if (!this.#held.clear(piece)) return
    const { metadata, rows, count } = this.#components
    count(-this.#lengthOf(piece))
    this.#frontier = Math.min(this.#frontier, piece)
    await metadata.write(rows.delPieces(this.digest, [piece]))
    await this.#digestHash.rewind(piece * this.pieceLength)
  }

  /** Keeps the file open for a reader. */
  retain(): boolean {
    return this.#components.file.retain()
  }

  release(): void {
    this.#components.file.release()
  }

  /**
   * The hash of the whole blob, as its digest's algorithm has it; all of it is durable then.
   * @throws {ContentError} DOWNLOAD_INCOMPLETE
   */
  async finish(): Promise<Uint8Array> {
    await Promise.all(this.#writing.values())
    // The system tells of a failed sync once: what it told a claim must not be forgotten here.
    clearTimeout(this.#timer)
    await this.#claiming?.catch(() => {})
    if (this.#failure !== undefined) throw this.#failure
    if (this.heldPieces < this.pieceCount) {
      const message = `only ${this.heldPieces} of ${this.pieceCount} pieces came`
      throw new ContentError('DOWNLOAD_INCOMPLETE', message)
    }
    const { file } = this.#components
    const hashing = this.#pieceHashIsDigest ? this.checks.hash(0).slice() : this.#digestHash.finish(file, this.size)
    const [hash] = await Promise.all([hashing, file.sync()])
    return hash
  }

  /** Those of the pieces here that the disk can't give back as they were stored. */
  async badPieces(): Promise<number[]> {
    const bad: number[] = []
    for (let piece = 0; piece < this.pieceCount; piece++) {
      if (this.has(piece) && (await this.read(piece)) === undefined) bad.push(piece)
    }
    return bad
  }

  /** Claims what is here, as far as the disk allows, and lets go of the file. Nothing can be written any more. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#timer)
    await Promise.allSettled(this.#writing.values())
    while (this.#unclaimed.length > 0 && this.#failure === undefined) await this.#claim().catch(() => {})
    await this.#claiming?.catch(() => {})
    await this.#saveUnrecorded()
    await this.#digestHash.reset()
    this.release()
  }

  /** What came after the disk was too full for notes is good for the next attempt too, if it is durable. */
  async #saveUnrecorded(): Promise<void> {
    if (this.#unrecorded.size === 0 || this.#unclaimed.length === 0) return
    try {
      await this.#components.file.sync()
      for (const piece of this.#unclaimed)
        if (this.has(piece)) this.#unrecorded.set(piece, this.checks.hash(piece).slice())
    } catch {
      // Then nobody knows what of it is on the disk.
    }
  }

  #add(piece: number, hash: Uint8Array): void {
    const { file, waiters, count } = this.#components
    this.checks.setHash(piece, hash)
    this.#held.set(piece)
    count(this.#lengthOf(piece))
    while (this.has(this.#frontier)) this.#frontier++
    if (!this.#pieceHashIsDigest) {
      this.#digestHash.follow(file, Math.min(this.#frontier * this.pieceLength, this.size))
    }
    waiters.settle(piece)
  }

  #claimLater(piece: number): void {
    this.#unclaimed.push(piece)
    this.#unclaimedBytes += this.#lengthOf(piece)
    if (this.#failure !== undefined) return
    if (this.#unclaimedBytes >= this.#options.flushBytes) {
      this.#claim().catch(() => {})
      return
    }
    this.#timer ??= setTimeout(() => {
      this.#claim().catch(() => {})
    }, this.#options.flushMs).unref()
  }

  /** Makes what was written durable, then claims it. After a failure nobody knows what is on disk: the attempt fails. */
  #claim(): Promise<void> {
    this.#claiming ??= this.#claimAll()
      .catch((error) => {
        this.#failure ??= error
        throw error
      })
      .finally(() => {
        this.#claiming = undefined
      })
    return this.#claiming
  }

  async #claimAll(): Promise<void> {
    const { file, metadata, rows } = this.#components
    clearTimeout(this.#timer)
    this.#timer = undefined
    while (this.#unclaimed.length > 0) {
      const pieces = this.#unclaimed
      this.#unclaimed = []
      this.#unclaimedBytes = 0
      await file.sync()
      const held = pieces.filter((piece) => this.has(piece))
      const hashes = new Map(held.map((piece) => [piece, this.checks.hash(piece)]))
      try {
        await this.#orDistrust(metadata.write(rows.putPieces(this.digest, hashes), false))
      } catch (error) {
        for (const [piece, hash] of hashes) this.#unrecorded.set(piece, hash.slice())
        throw error
      }
    }
  }

  /** An attempt that began on a disk that is full already would only have pieces sent in vain. */
  async #orDistrust(write: Promise<void>): Promise<void> {
    try {
      await write
    } catch (error) {
      if (isContentError(error, 'DISK_FULL')) this.#components.space.distrust()
      throw error
    }
  }

  #lengthOf(piece: number): number {
    const { start, end } = pieceRange(piece, this.size, this.pieceLength)
    return end - start
  }

  #checkLength(piece: number, length: number): void {
    const exists = Number.isInteger(piece) && piece >= 0 && piece < this.pieceCount
    if (exists && length === this.#lengthOf(piece)) return
    const message = exists ? `piece ${piece} has ${this.#lengthOf(piece)} bytes, not ${length}` : `no piece ${piece}`
    throw new ContentError('PIECE_LENGTH', message)
  }
}

async function failureOf(task: Promise<unknown>): Promise<unknown> {
  try {
    await task
    return undefined
  } catch (error) {
    return error
  }
}

/** The same bytes, once more if their memory has others in it. */
function movable(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer, byteLength } = bytes
  return buffer instanceof ArrayBuffer && buffer.byteLength === byteLength
    ? new Uint8Array(buffer)
    : new Uint8Array(bytes)
}

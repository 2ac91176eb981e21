import type { DigestAlgorithm } from '@layermesh/oci'
import type { StoredFile } from '../disk/files.ts'
import { type HashPool, MAX_JOB_BYTES } from './hash-pool.ts'
import type { HashStream } from './hash-stream.ts'

/** The hash of a whole file, and the SHA-256 of each of its pieces if they were asked for. */
export interface FileHashes {
  readonly hash: Uint8Array
  readonly pieces: Uint8Array
}

/**
 * The hash of a file that grows, in the background while it grows: it follows the writer from byte zero, reading what
 * was just written back from the page cache. Its state is never kept on disk: a new one reads the file from the start.
 */
export class RunningHash {
  readonly #pool: HashPool
  readonly #algorithm: DigestAlgorithm
  readonly #pieceLength: number | undefined
  #stream: HashStream | undefined
  #pieces: Uint8Array[] = []
  #target = 0
  #following: Promise<void> | undefined

  constructor(pool: HashPool, algorithm: DigestAlgorithm, pieceLength?: number) {
    this.#pool = pool
    this.#algorithm = algorithm
    this.#pieceLength = pieceLength
  }

  /** How many bytes are hashed. */
  get position(): number {
    return this.#stream?.position ?? 0
  }

  /** The bytes up to `to` are in the file: hashes them in the background. A failure shows in {@link finish}. */
  follow(file: StoredFile, to: number): void {
    this.#target = Math.max(this.#target, to)
    if (this.#following !== undefined || this.position >= this.#target || !file.retain()) return
    this.#following = this.#extendToTarget(file)
      .catch(() => this.#drop())
      .finally(() => {
        this.#following = undefined
        file.release()
      })
  }

  /** Hashes what is left of the first `size` bytes. This ends it, and it may be used anew. */
  async finish(file: StoredFile, size: number): Promise<FileHashes> {
    await this.#following
    this.#target = size
    await this.#extendToTarget(file)
    const stream = this.#openStream()
    const pieces = this.#pieces
    this.#stream = undefined
    this.#drop()
    const { hash, lastPiece } = await stream.finish()
    return { hash, pieces: Buffer.concat([...pieces, lastPiece]) }
  }

  /** The file changes from `position` on: forgets what was hashed if that is further. Resolves when nothing reads there any more. */
  async rewind(position: number): Promise<void> {
    this.#target = Math.min(this.#target, position)
    await this.#following
    if (this.position > position) this.#drop()
  }

  /** Forgets all that was hashed. */
  async reset(): Promise<void> {
    this.#target = 0
    await this.#following
    this.#drop()
  }

  async #extendToTarget(file: StoredFile): Promise<void> {
    const stream = this.#openStream()
    while (stream.position < this.#target) {
      const to = Math.min(stream.position + MAX_JOB_BYTES, this.#target)
      this.#pieces.push(await file.use((fd) => stream.extend(fd, to)))
    }
  }

  #openStream(): HashStream {
    this.#stream ??= this.#pool.openStream(this.#algorithm, this.#pieceLength)
    return this.#stream
  }

  #drop(): void {
    this.#stream?.drop()
    this.#stream = undefined
    this.#pieces = []
    this.#target = 0
  }
}

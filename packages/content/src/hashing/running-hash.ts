import type { DigestAlgorithm } from '@layermesh/oci'
import type { StoredFile } from '../disk/files.ts'
import { FileFollower } from './file-follower.ts'
import { type HashPool, MAX_JOB_BYTES } from './hash-pool.ts'
import type { HashStream } from './hash-stream.ts'

/**
 * The hash of a file that grows, computed behind its writer. Its state is never kept on disk: after a restart the file
 * is read from the start.
 */
export class RunningHash {
  readonly #pool: HashPool
  readonly #algorithm: DigestAlgorithm
  readonly #follower: FileFollower
  #stream: HashStream | undefined

  constructor(pool: HashPool, algorithm: DigestAlgorithm) {
    this.#pool = pool
    this.#algorithm = algorithm
    const take = (fd: number, _from: number, to: number) => this.#openStream().extend(fd, to)
    this.#follower = new FileFollower({ take, forget: () => this.#dropStream() }, MAX_JOB_BYTES)
  }

  /** How many bytes are hashed. */
  get position(): number {
    return this.#follower.position
  }

  /** The bytes up to `to` are in the file: hashes them in the background. */
  follow(file: StoredFile, to: number): void {
    this.#follower.follow(file, to)
  }

  /** The hash of the first `size` bytes. It may be used anew after this. */
  async finish(file: StoredFile, size: number): Promise<Uint8Array> {
    await this.#follower.catchUp(file, size)
    const stream = this.#openStream()
    this.#stream = undefined
    await this.#follower.reset()
    return stream.finish()
  }

  /** The file changes from `position` on. Resolves when nothing reads there any more. */
  rewind(position: number): Promise<void> {
    return this.#follower.rewind(position)
  }

  reset(): Promise<void> {
    return this.#follower.reset()
  }

  #openStream(): HashStream {
    this.#stream ??= this.#pool.openStream(this.#algorithm)
    return this.#stream
  }

  #dropStream(): void {
    this.#stream?.drop()
    this.#stream = undefined
  }
}

import type { StoredFile } from '../disk/files.ts'
import { FileFollower } from './file-follower.ts'
import { type HashPool, MAX_JOB_BYTES } from './hash-pool.ts'

/** The SHA-256 of each piece of a file that grows, computed behind its writer and beside the hash of the whole. */
export class RunningPieces {
  readonly #pool: HashPool
  readonly #pieceLength: number
  readonly #follower: FileFollower
  #hashes: Uint8Array[] = []

  /** @param pieceLength in bytes, a divisor of {@link MAX_JOB_BYTES} */
  constructor(pool: HashPool, pieceLength: number) {
    this.#pool = pool
    this.#pieceLength = pieceLength
    const take = async (fd: number, from: number, to: number) => {
      this.#hashes.push(await pool.hashPieces(fd, from, to, pieceLength))
    }
    const forget = () => {
      this.#hashes = []
    }
    this.#follower = new FileFollower({ take, forget }, MAX_JOB_BYTES)
  }

  /** The bytes up to `to` are in the file: hashes the pieces that are full, in the background. */
  follow(file: StoredFile, to: number): void {
    this.#follower.follow(file, this.#fullPieces(to))
  }

  /** The hashes of the pieces of the first `size` bytes. It may be used anew after this. */
  async finish(file: StoredFile, size: number): Promise<Uint8Array> {
    const full = this.#fullPieces(size)
    await this.#follower.catchUp(file, full)
    const last = await file.use((fd) => this.#pool.hashPieces(fd, full, size, this.#pieceLength))
    const hashes = Buffer.concat([...this.#hashes, last])
    await this.#follower.reset()
    return hashes
  }

  /** The file changes from `position` on. Resolves when nothing reads there any more. */
  rewind(position: number): Promise<void> {
    return this.#follower.rewind(position)
  }

  reset(): Promise<void> {
    return this.#follower.reset()
  }

  #fullPieces(length: number): number {
    return length - (length % this.#pieceLength)
  }
}

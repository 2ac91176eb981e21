import type { StoredFile } from '../disk/files.ts'
import { FileFollower } from './file-follower.ts'
import { type HashPool, MAX_JOB_BYTES } from './hash-pool.ts'
import type { HashStream } from './hash-stream.ts'
import { newNonceBlob, PieceChecks } from './piece-checks.ts'

/** The SHA-256 of a whole file, and what its pieces are checked against. */
export interface FileChecks {
  readonly hash: Uint8Array
  readonly checks: PieceChecks
}

/**
 * Hashes a file that grows, as a whole and by pieces: from memory while its pieces are being written one after the
 * other, else behind the writer. Nothing of it is kept on disk: after a restart the file is read from the start.
 */
export class RunningChecks {
  readonly #pool: HashPool
  readonly #pieceLength: number
  readonly #follower: FileFollower
  #stream: HashStream | undefined
  #blob = newNonceBlob()
  #hashes: Uint8Array[] = []
  #macs = new Map<number, Uint8Array>()

  /** @param pieceLength in bytes, a divisor of {@link MAX_JOB_BYTES} */
  constructor(pool: HashPool, pieceLength: number) {
    this.#pool = pool
    this.#pieceLength = pieceLength
    const take = async (fd: number, _from: number, to: number) => {
      this.#hashes.push(await this.#openStream().extendByPieces(fd, to, pieceLength))
    }
    this.#follower = new FileFollower({ take, forget: () => this.#forget() }, MAX_JOB_BYTES)
  }

  /**
   * Takes in what is about to be written at `position` if it is the next whole piece. The memory goes to another thread
   * meanwhile and comes back as the result.
   */
  async take(bytes: Uint8Array<ArrayBuffer>, position: number): Promise<Uint8Array<ArrayBuffer>> {
    if (bytes.byteLength !== this.#pieceLength || position % this.#pieceLength !== 0) return bytes
    let memory = bytes
    await this.#follower.feed(position, position + bytes.byteLength, async () => {
      const piece = position / this.#pieceLength
      const taken = await this.#openStream().take(bytes, { blob: this.#blob, piece })
      memory = taken.bytes
      this.#hashes.push(taken.hash)
      this.#macs.set(piece, taken.mac)
    })
    return memory
  }

  /** The bytes up to `to` are in the file: takes in, in the background, the whole pieces that were not yet. */
  follow(file: StoredFile, to: number): void {
    this.#follower.follow(file, this.#wholePieces(to))
  }

  /** Of the first `size` bytes. It may be used anew after this. */
  async finish(file: StoredFile, size: number): Promise<FileChecks> {
    await this.#follower.catchUp(file, this.#wholePieces(size))
    const stream = this.#openStream()
    const last = await file.use((fd) => stream.extendByPieces(fd, size, this.#pieceLength))
    const checks = new PieceChecks(Buffer.concat([...this.#hashes, last]), this.#blob)
    for (const [piece, mac] of this.#macs) checks.keepMac(piece, mac)
    this.#stream = undefined
    await this.#follower.reset()
    return { hash: await stream.finish(), checks }
  }

  /** The file changes from `position` on. Resolves when nothing reads there any more. */
  rewind(position: number): Promise<void> {
    return this.#follower.rewind(position)
  }

  reset(): Promise<void> {
    return this.#follower.reset()
  }

  #openStream(): HashStream {
    this.#stream ??= this.#pool.openStream('sha256')
    return this.#stream
  }

  #forget(): void {
    this.#stream?.drop()
    this.#stream = undefined
    this.#blob = newNonceBlob()
    this.#hashes = []
    this.#macs.clear()
  }

  #wholePieces(length: number): number {
    return length - (length % this.#pieceLength)
  }
}

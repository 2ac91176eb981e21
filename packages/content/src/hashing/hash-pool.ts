import { randomBytes } from 'node:crypto'
import { read } from 'node:fs'
import { promisify } from 'node:util'
import type { DigestAlgorithm } from '@layermesh/oci'
import { ContentError } from '../errors.ts'
import { type Checksums, checksumsOf, macOf, sha256Of, type WantedChecksums } from './checksums.ts'
import { HashStream } from './hash-stream.ts'
import { type CheckedBytes, HashThread } from './hash-thread.ts'
import type { MacNonce } from './piece-checks.ts'

export interface HashPoolOptions {
  /** Threads at most. */
  readonly threads: number
  /** A thread without work ends after so long, in ms. */
  readonly idleMs: number
}

/** Bytes of a file, and of them what was wanted. */
export interface ReadBytes extends Checksums {
  readonly bytes: Uint8Array<ArrayBuffer>
}

const MAC_KEY_LENGTH = 32
/** Bytes that are checked at once, in 60 µs or so: less than it takes to pass them on, and far less than a thread to start. */
const SMALL_BYTES = 64 * 1024
const readInto = promisify(read)

/** No job should be longer than this unless one piece is, so that a reader never waits long behind somebody else's. */
export const MAX_JOB_BYTES = 8 * 1024 * 1024

/**
 * Reads and hashes off the main thread, but for what is small.
 *
 * Measured on Node 24 with two cores, 1 GiB in pieces of 1 MiB from the page cache. The share of the main thread is
 * what counts, because that thread also carries the sockets.
 *
 * | | MiB/s, 4 readers | main thread, ms per GiB |
 * |---|---|---|
 * | read and hash on the main thread | 1600 | 640 |
 * | `crypto.subtle.digest`, which copies what it hashes | 1800 | 390 |
 * | this, two threads | 2300 | 150 |
 * | this, with memory that is used again | 2900 | 30 |
 *
 * A read that is checked by a MAC instead of a SHA-256 costs its thread 280 ms for each GiB, not 800.
 *
 * A thread costs about 12 MiB, so threads start with the first work and end when there is none for a while. Reads
 * block their thread, so on a slow disk there are as many at once as threads.
 */
export class HashPool {
  readonly #options: HashPoolOptions
  readonly #threads = new Set<HashThread>()
  readonly #macKey = randomBytes(MAC_KEY_LENGTH)
  #closed = false

  constructor(options: HashPoolOptions) {
    this.#options = options
  }

  /**
   * Reads `length` bytes at `position`, fewer when the file ends before, with what is wanted of them.
   * @param spare memory to read into, which the caller uses no more; it is part of the answer if it was large enough
   */
  async read(
    fd: number,
    position: number,
    length: number,
    want: WantedChecksums = { hash: true },
    spare?: ArrayBuffer
  ): Promise<ReadBytes> {
    this.#checkOpen()
    if (length <= SMALL_BYTES) return await this.#readSmall(fd, position, length, want)
    const job = { kind: 'read', fd, position, length, want, ...(spare === undefined ? {} : { spare }) } as const
    const { bytes, ...checksums } = await this.#idlestThread().run(job, spare === undefined ? [] : [spare])
    if (bytes === undefined) throw new Error('the hashing thread left out what it read')
    return { bytes, ...checksums }
  }

  /** The SHA-256 and the MAC of bytes. Their memory may go to another thread and be gone here; it comes back with them. */
  async check(bytes: Uint8Array<ArrayBuffer>, mac: MacNonce): Promise<CheckedBytes> {
    this.#checkOpen()
    if (bytes.byteLength <= SMALL_BYTES) {
      return { bytes, hash: sha256Of(bytes), mac: macOf(bytes, mac, this.#macKey) }
    }
    return await this.#idlestThread().check({ kind: 'check', bytes, mac })
  }

  /** The SHA-256 of each piece of the bytes from `start`, where a piece begins, to `end`. */
  async hashPieces(fd: number, start: number, end: number, pieceLength: number): Promise<Uint8Array> {
    const { pieces } = await this.#idlestThread().run({ kind: 'pieces', fd, start, end, pieceLength })
    if (pieces === undefined) throw new Error('the hashing thread left out the hashes')
    return pieces
  }

  /** Begins a running hash of a file from its first byte. */
  openStream(algorithm: DigestAlgorithm): HashStream {
    return new HashStream(this.#idlestThread(), algorithm)
  }

  /** Ends all threads; what they still do fails. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#threads].map((thread) => thread.end()))
  }

  async #readSmall(fd: number, position: number, length: number, want: WantedChecksums): Promise<ReadBytes> {
    const whole = new Uint8Array(length)
    let filled = 0
    while (filled < length) {
      const { bytesRead } = await readInto(fd, whole, filled, length - filled, position + filled)
      if (bytesRead === 0) break
      filled += bytesRead
    }
    const bytes = whole.subarray(0, filled)
    return { bytes, ...checksumsOf(bytes, want, this.#macKey) }
  }

  #checkOpen(): void {
    if (this.#closed) throw new ContentError('STORE_CLOSED', 'the store is closed')
  }

  /** The thread with the least to do; a new one when all have something and there may be more. */
  #idlestThread(): HashThread {
    this.#checkOpen()
    let idlest: HashThread | undefined
    for (const thread of this.#threads) {
      if (idlest === undefined || thread.load < idlest.load) idlest = thread
    }
    if (idlest !== undefined && (idlest.load === 0 || this.#threads.size >= this.#options.threads)) return idlest
    const { idleMs } = this.#options
    const data = { macKey: this.#macKey }
    const thread = new HashThread({ data, idleMs, onEnd: (ended) => this.#threads.delete(ended) })
    this.#threads.add(thread)
    return thread
  }
}

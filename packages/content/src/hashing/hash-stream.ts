import type { DigestAlgorithm } from '@layermesh/oci'
import type { CheckedBytes, HashThread } from './hash-thread.ts'
import type { MacNonce } from './piece-checks.ts'

let lastId = 0

/** A running hash of one file, kept by one hashing thread. End it with {@link finish} or {@link drop}. */
export class HashStream {
  readonly #thread: HashThread
  readonly #id = ++lastId

  constructor(thread: HashThread, algorithm: DigestAlgorithm) {
    this.#thread = thread
    thread.holdForStream()
    // A failure here shows again in the next call.
    thread.run({ kind: 'open', stream: this.#id, algorithm }).catch(() => {})
  }

  /** Takes the bytes of the file in that come after those it has, up to `to`. */
  async extend(fd: number, to: number): Promise<void> {
    await this.#thread.run({ kind: 'extend', stream: this.#id, fd, to })
  }

  /** The same, and the SHA-256 of each piece of those bytes, which begin with a piece. */
  async extendByPieces(fd: number, to: number, pieceLength: number): Promise<Uint8Array> {
    const { pieces } = await this.#thread.run({ kind: 'extend', stream: this.#id, fd, to, pieceLength })
    if (pieces === undefined) throw new Error('the hashing thread left out the hashes')
    return pieces
  }

  /** Takes in the piece that comes next. Its memory is gone here; it comes back with the hash and the MAC of the piece. */
  async take(bytes: Uint8Array<ArrayBuffer>, mac: MacNonce): Promise<CheckedBytes> {
    return await this.#thread.check({ kind: 'check', stream: this.#id, bytes, mac })
  }

  async finish(): Promise<Uint8Array> {
    try {
      const { hash } = await this.#thread.run({ kind: 'finish', stream: this.#id })
      if (hash === undefined) throw new Error('the hashing thread left out the hash')
      return hash
    } finally {
      this.#thread.letGoOfStream()
    }
  }

  drop(): void {
    this.#thread.letGoOfStream()
    this.#thread.run({ kind: 'drop', stream: this.#id }).catch(() => {})
  }
}

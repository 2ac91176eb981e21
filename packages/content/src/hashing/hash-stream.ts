import type { DigestAlgorithm } from '@layermesh/oci'
import type { HashThread } from './hash-thread.ts'

let lastId = 0

/** A running hash of one file, kept by one hashing thread. End it with {@link finish} or {@link drop}. */
export class HashStream {
  readonly #thread: HashThread
  readonly #id = ++lastId
  #position = 0

  /** @param pieceLength when given, each piece is hashed by itself too */
  constructor(thread: HashThread, algorithm: DigestAlgorithm, pieceLength?: number) {
    this.#thread = thread
    thread.holdForStream()
    const pieces = pieceLength === undefined ? {} : { pieceLength }
    // A failure here shows again in the next call.
    thread.run({ kind: 'open', stream: this.#id, algorithm, ...pieces }).catch(() => {})
  }

  /** How many bytes of the file are in it. */
  get position(): number {
    return this.#position
  }

  /** Takes the bytes of the file up to `to` in. Resolves with the SHA-256 of each piece that ended on the way. */
  async extend(fd: number, to: number): Promise<Uint8Array> {
    const { pieces } = await this.#thread.run({ kind: 'extend', stream: this.#id, fd, to })
    this.#position = to
    return pieces ?? new Uint8Array(0)
  }

  /** The hash of the whole, and the SHA-256 of a short last piece, empty when there is none. */
  async finish(): Promise<{ hash: Uint8Array; lastPiece: Uint8Array }> {
    try {
      const { hash, pieces } = await this.#thread.run({ kind: 'finish', stream: this.#id })
      if (hash === undefined) throw new Error('the hashing thread left out the hash')
      return { hash, lastPiece: pieces ?? new Uint8Array(0) }
    } finally {
      this.#thread.letGoOfStream()
    }
  }

  drop(): void {
    this.#thread.letGoOfStream()
    this.#thread.run({ kind: 'drop', stream: this.#id }).catch(() => {})
  }
}

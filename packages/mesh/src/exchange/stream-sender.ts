import type { Stream } from '@libp2p/interface'
import { Uint8ArrayList } from 'uint8arraylist'
import { MeshError } from '../errors.ts'
import { LIMITS } from '../limits.ts'

/**
 * Sends bytes on a stream, one call at a time, and waits until the stream has taken them and takes more. Two things of
 * @libp2p/utils 7 must not be trusted for this. `stream.onDrain()` holds nobody back after the first time. The event
 * `drain` also comes while the stream still holds most of what it was given, so who goes on at each one fills its buffer
 * until that ends it.
 *
 * It listens once for all that is ever sent: thousands of pieces go through one stream, and what is made anew for each of
 * them, signals above all, piles up.
 */
export class StreamSender {
  readonly #stream: Stream
  readonly #stallMs: number
  #wake: () => void = () => {}

  /** @param stallMs a peer that takes nothing for so long is given up */
  constructor(stream: Stream, stallMs: number = LIMITS.sendStallMs) {
    this.#stream = stream
    this.#stallMs = stallMs
    for (const event of ['drain', 'idle', 'close'] as const) stream.addEventListener(event, () => this.#wake())
  }

  /** @throws {MeshError} PEER_UNREACHABLE when the stream has ended, DEADLINE when the peer takes nothing */
  async send(parts: readonly Uint8Array[]): Promise<void> {
    if (!isWritable(this.#stream)) throw ended(this.#stream)
    const [first, ...rest] = parts
    if (first === undefined || this.#stream.send(rest.length === 0 ? first : new Uint8ArrayList(first, ...rest))) return
    while (this.#stream.status === 'open' && (this.#stream.writeBufferLength > 0 || this.#stream.writableNeedsDrain)) {
      await this.#change()
    }
    // An aborted stream is idle too: it has thrown away what it held.
    if (this.#stream.status !== 'open') throw ended(this.#stream)
  }

  /** Resolves when the stream tells anything of what it holds. */
  async #change(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#wake = resolve
    const timer = setTimeout(() => {
      reject(new MeshError('DEADLINE', `the peer took nothing for ${this.#stallMs} ms`))
    }, this.#stallMs)
    try {
      await promise
    } finally {
      clearTimeout(timer)
    }
  }
}

/** Whether a stream takes bytes; sending on another throws, in the middle of whoever told that it ended. */
export function isWritable(stream: Stream): boolean {
  return stream.status === 'open' && stream.writeStatus === 'writable'
}

function ended({ status }: Stream): MeshError {
  return new MeshError('PEER_UNREACHABLE', `the stream is ${status}`)
}

import { MeshError } from '../errors.ts'

/**
 * The body of something that comes from outside the mesh, taken in portions of a known length. Nothing is asked of it
 * while no portion is awaited, so that whoever sends is held back.
 */
export class ByteStream {
  readonly #iterator: AsyncIterator<Uint8Array>
  readonly #stallMs: number
  readonly #stop: AbortController
  #left: Uint8Array = new Uint8Array()

  /**
   * @param stop aborted when nothing more is wanted of the body, since one that is silent ends by nothing else
   * @param stallMs how long the body may be silent while it is awaited
   */
  constructor(body: AsyncIterable<Uint8Array>, stop: AbortController, stallMs: number) {
    this.#iterator = body[Symbol.asyncIterator]()
    this.#stop = stop
    this.#stallMs = stallMs
  }

  /**
   * Fills all of `target`.
   * @param onBytes told of each portion as it comes
   * @throws {MeshError} ORIGIN_FAILED when the body ends early or falls silent; what the body throws
   */
  async fill(target: Uint8Array, onBytes: (bytes: number) => void): Promise<void> {
    let filled = 0
    while (filled < target.byteLength) {
      const chunk = this.#left.byteLength > 0 ? this.#left : await this.#next()
      const taken = chunk.subarray(0, target.byteLength - filled)
      target.set(taken, filled)
      filled += taken.byteLength
      this.#left = chunk.subarray(taken.byteLength)
      onBytes(taken.byteLength)
    }
  }

  /** Takes no more; does not wait until the body has ended. */
  close(): void {
    this.#stop.abort()
    void Promise.resolve(this.#iterator.return?.()).catch(() => {})
  }

  async #next(): Promise<Uint8Array> {
    const { promise, reject } = Promise.withResolvers<never>()
    const fail = (what: string) => reject(new MeshError('ORIGIN_FAILED', what))
    const timer = setTimeout(() => fail(`the origin sent nothing for ${this.#stallMs} ms`), this.#stallMs)
    const stopped = () => fail('stopped')
    this.#stop.signal.addEventListener('abort', stopped, { once: true })
    try {
      if (this.#stop.signal.aborted) stopped()
      const { done, value } = await Promise.race([this.#iterator.next(), promise])
      if (done === true) throw new MeshError('ORIGIN_FAILED', 'the origin sent less than it said')
      return value
    } finally {
      clearTimeout(timer)
      this.#stop.signal.removeEventListener('abort', stopped)
    }
  }
}

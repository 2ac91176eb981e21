import type { Readable } from 'node:stream'

const GATHER_BYTES = 256 * 1024

/**
 * Takes the chunks of a stream together: they come small, and each costs whoever handles it the same. What came within
 * one turn of the event loop is one chunk here.
 *
 * The memory of the stream's chunks is freed at once. Left to the garbage collector, 64 KiB of it for each read, it cost
 * two thirds of the time that a body of 1 GiB took the processor.
 */
export class ChunkGatherer {
  readonly #stream: Readable
  readonly #memory = Buffer.allocUnsafeSlow(GATHER_BYTES)
  #filled = 0
  /** The part of a chunk for which there was no room. */
  #rest: Uint8Array | undefined
  #ended = false
  #failure: Error | undefined
  #wake: () => void = () => {}

  /** @param stream begins to flow */
  constructor(stream: Readable) {
    this.#stream = stream
    stream.on('data', this.#onData)
    stream.on('end', this.#onEnd)
    stream.on('error', this.#onError)
    stream.on('close', this.#onClose)
  }

  /**
   * Resolves with what came, undefined at the end. Its memory is used again for the next.
   * @param wait waits for the stream if need be
   * @throws what the stream or `wait` throws
   */
  async next(wait: (arrival: Promise<void>) => Promise<void>): Promise<Uint8Array | undefined> {
    const rest = this.#rest
    this.#rest = undefined
    if (rest !== undefined) this.#take(rest)
    this.#stream.resume()
    while (this.#filled === 0 && !this.#ended) {
      if (this.#failure !== undefined) throw this.#failure
      await wait(new Promise((resolve) => this.#listen(resolve)))
    }
    if (this.#filled < GATHER_BYTES) await new Promise((resolve) => setImmediate(resolve))
    this.#stream.pause()
    const length = this.#filled
    this.#filled = 0
    return length === 0 ? undefined : this.#memory.subarray(0, length)
  }

  /** Leaves what is still to come in the stream. */
  stop(): void {
    this.#stream.off('data', this.#onData)
    this.#stream.off('end', this.#onEnd)
    this.#stream.off('error', this.#onError)
    this.#stream.off('close', this.#onClose)
    this.#stream.pause()
  }

  #listen(wake: () => void): void {
    this.#wake = wake
  }

  readonly #onData = (chunk: Uint8Array): void => {
    this.#take(chunk)
    this.#wake()
  }

  readonly #onEnd = (): void => {
    this.#ended = true
    this.#wake()
  }

  readonly #onError = (error: Error): void => {
    this.#failure ??= error
    this.#wake()
  }

  readonly #onClose = (): void => {
    if (!this.#ended) this.#onError(new Error('the stream closed before its end'))
  }

  #take(chunk: Uint8Array): void {
    const room = GATHER_BYTES - this.#filled
    this.#memory.set(chunk.subarray(0, room), this.#filled)
    this.#filled += Math.min(room, chunk.byteLength)
    if (chunk.byteLength < room) return free(chunk)
    // A paused stream emits no more chunks, so there is never more than one rest.
    this.#stream.pause()
    if (chunk.byteLength > room) this.#rest = chunk.subarray(room)
    else free(chunk)
  }
}

/** Frees memory that holds nothing but this chunk, and that nobody else has. */
function free({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0)
}

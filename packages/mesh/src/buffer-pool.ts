/**
 * Buffers that are used again. Pieces come by the hundred each second; freed one by one they would pile up until the
 * garbage collector looks, and the process would hold several times the memory that it works with.
 */
export class BufferPool {
  readonly #maxBytes: number
  readonly #free: Buffer[] = []
  #freeBytes = 0

  /** @param maxBytes the most that is kept for later */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** A buffer of exactly this length, with whatever was in it before. */
  take(length: number): Buffer {
    const index = this.#free.findIndex((buffer) => buffer.byteLength === length)
    const [buffer] = index < 0 ? [] : this.#free.splice(index, 1)
    if (!buffer) return Buffer.allocUnsafeSlow(length)
    this.#freeBytes -= length
    return buffer
  }

  /** Gives a buffer back; nobody may use it any more. One that finds no room is left to the garbage collector. */
  give({ buffer, byteOffset, byteLength }: Uint8Array): void {
    if (this.#freeBytes + byteLength > this.#maxBytes) return
    this.#free.push(Buffer.from(buffer, byteOffset, byteLength))
    this.#freeBytes += byteLength
  }
}

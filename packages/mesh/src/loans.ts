import type { BufferPool } from './buffer-pool.ts'

interface Loan {
  readonly bytes: Uint8Array
  unwritten: number
}

/**
 * Memory of pieces on their way to the network, which is used again once the transport has written all of it. A
 * transport that does not tell, and a connection that ends before, leave it to the garbage collector.
 */
export class Loans {
  readonly #pool: BufferPool
  readonly #loans = new WeakMap<ArrayBufferLike, Loan>()

  constructor(pool: BufferPool) {
    this.#pool = pool
  }

  /** At least so much memory, with whatever was in it before. */
  memory(length: number): ArrayBufferLike {
    return this.#pool.take(length).buffer
  }

  /** These bytes are about to be sent, each once; nobody else may use their memory any more. */
  lend(bytes: Uint8Array): void {
    this.#loans.set(bytes.buffer, { bytes, unwritten: bytes.byteLength })
  }

  isLent({ buffer }: Uint8Array): boolean {
    return this.#loans.has(buffer)
  }

  /** The transport has written this part of what was lent, and holds it no more. */
  written({ buffer, byteLength }: Uint8Array): void {
    const loan = this.#loans.get(buffer)
    if (loan === undefined) return
    loan.unwritten -= byteLength
    if (loan.unwritten > 0) return
    this.#loans.delete(buffer)
    this.#pool.give(loan.bytes)
  }
}

import { unlessAborted } from '@layermesh/oci'

/** Those who wait for pieces of one blob. */
export class PieceWaiters {
  readonly #waiting = new Map<number, { readonly arrival: PromiseWithResolvers<void>; count: number }>()
  readonly #listeners = new Set<(piece: number) => void>()

  /** Resolves when the piece is settled. Rejects when all fail, or when `signal` aborts. */
  async wait(piece: number, signal?: AbortSignal): Promise<void> {
    const waiting = this.#waiting.get(piece) ?? { arrival: Promise.withResolvers<void>(), count: 0 }
    this.#waiting.set(piece, waiting)
    waiting.count++
    for (const listener of [...this.#listeners]) listener(piece)
    try {
      await unlessAborted(waiting.arrival.promise, signal)
    } finally {
      if (--waiting.count === 0 && this.#waiting.get(piece) === waiting) this.#waiting.delete(piece)
    }
  }

  settle(piece: number): void {
    this.#waiting.get(piece)?.arrival.resolve()
    this.#waiting.delete(piece)
  }

  settleAll(): void {
    for (const piece of [...this.#waiting.keys()]) this.settle(piece)
  }

  failAll(error: Error): void {
    for (const { arrival } of this.#waiting.values()) arrival.reject(error)
    this.#waiting.clear()
  }

  /** The pieces that are waited for, lowest first. */
  awaited(): number[] {
    return [...this.#waiting.keys()].sort((one, other) => one - other)
  }

  /** Calls `listener` after somebody began to wait. Returns a function that ends it. */
  onWait(listener: (piece: number) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

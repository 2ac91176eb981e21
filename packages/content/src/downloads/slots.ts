import { unlessAborted } from '@layermesh/oci'

/** Lets so many work at the same time; the others wait for their turn, in order. */
export class Slots {
  readonly #waiting = new Set<PromiseWithResolvers<void>>()
  #free: number

  constructor(slots: number) {
    this.#free = slots
  }

  /** Resolves when it is the caller's turn, which lasts until {@link release}. Rejects when `signal` aborts. */
  async acquire(signal: AbortSignal): Promise<void> {
    if (this.#free > 0) {
      this.#free--
      return
    }
    const turn = Promise.withResolvers<void>()
    this.#waiting.add(turn)
    try {
      await unlessAborted(turn.promise, signal)
    } catch (error) {
      // A turn that came together with the abort goes to the next.
      if (!this.#waiting.delete(turn)) this.release()
      throw error
    }
  }

  release(): void {
    const [next] = this.#waiting
    if (next === undefined) {
      this.#free++
      return
    }
    this.#waiting.delete(next)
    next.resolve()
  }
}

import { setTimeout as sleep } from 'node:timers/promises'

const POLL_MS = 100

/** How many bytes clients have got in all: by it faults hit in the middle, however quick the machine is. */
export class Progress {
  readonly #waiters: { readonly bytes: number; readonly resolve: () => void }[] = []
  #bytes = 0
  #lastAt = performance.now()

  get bytes(): number {
    return this.#bytes
  }

  add(bytes: number): void {
    this.#bytes += bytes
    this.#lastAt = performance.now()
    const due = this.#waiters.filter((waiter) => waiter.bytes <= this.#bytes)
    for (const waiter of due) {
      this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
      waiter.resolve()
    }
  }

  /** Resolves at the moment when so many bytes have come. */
  reached(bytes: number): Promise<void> {
    if (this.#bytes >= bytes) return Promise.resolve()
    return new Promise((resolve) => this.#waiters.push({ bytes, resolve }))
  }

  /** Resolves when so many bytes have come, or none comes any more: none came for `stallMs`. */
  async reachedOrStalled(bytes: number, stallMs: number): Promise<void> {
    const began = performance.now()
    while (this.#bytes < bytes && performance.now() - Math.max(began, this.#lastAt) < stallMs) await sleep(POLL_MS)
  }
}

import { setTimeout as sleep } from 'node:timers/promises'

/** Lets bytes through at a rate, those of all who ask together. */
export class Throttle {
  bytesPerSecond = Number.POSITIVE_INFINITY
  #freeAt = 0

  /** Resolves when so many bytes may go. */
  async take(bytes: number): Promise<void> {
    if (this.bytesPerSecond === Number.POSITIVE_INFINITY) return
    const now = performance.now()
    this.#freeAt = Math.max(now, this.#freeAt) + (bytes * 1000) / this.bytesPerSecond
    await sleep(this.#freeAt - now)
  }
}

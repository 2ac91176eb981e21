/** What a bucket saves up while nothing is taken, in ms of its rate. */
const BURST_MS = 250

/**
 * Holds a rate: tokens come in steadily, and whoever takes more than are there makes a debt that holds back the next.
 * So a piece larger than the burst still goes, and the rate holds on average.
 */
export class TokenBucket {
  readonly #perMs: number
  readonly #burst: number
  #tokens: number
  #at: number | undefined

  /** @param perSecond Infinity for no limit */
  constructor(perSecond: number) {
    this.#perMs = perSecond / 1_000
    this.#burst = this.#perMs * BURST_MS
    this.#tokens = this.#burst
  }

  /** Whether something may be taken now. */
  open(now: number): boolean {
    if (this.#perMs === Number.POSITIVE_INFINITY) return true
    if (this.#at !== undefined) this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#at) * this.#perMs)
    this.#at = now
    return this.#tokens > 0
  }

  take(amount: number): void {
    this.#tokens -= amount
  }

  /** Gives back what was taken and then not used. */
  giveBack(amount: number): void {
    this.#tokens = Math.min(this.#burst, this.#tokens + amount)
  }
}

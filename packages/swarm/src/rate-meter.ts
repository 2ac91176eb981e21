const SAMPLE_MS = 200
/** How much the latest sample counts. */
const WEIGHT = 0.4

/** How fast bytes come while some are owed. Times in which nothing is owed do not count. */
export class RateMeter {
  /** Bytes per ms, smoothed; undefined before the first sample. */
  #rate: number | undefined
  #since: number | undefined
  #bytes = 0

  get bytesPerMs(): number | undefined {
    return this.#rate
  }

  /** Something is owed from now on. */
  begin(now: number): void {
    this.#since = now
    this.#bytes = 0
  }

  /** Nothing is owed any more. */
  pause(now: number): void {
    // A short burst is a sample too: the only one that a quick peer with little to give ever makes.
    if (this.#since !== undefined && this.#rate === undefined && this.#bytes > 0) this.sample(now)
    this.#since = undefined
  }

  count(now: number, bytes: number): void {
    if (this.#since === undefined) return
    this.#bytes += bytes
    if (now - this.#since >= SAMPLE_MS) this.sample(now)
  }

  private sample(now: number): void {
    const latest = this.#bytes / Math.max(1, now - (this.#since ?? now))
    this.#rate = this.#rate === undefined ? latest : this.#rate * (1 - WEIGHT) + latest * WEIGHT
    this.#since = now
    this.#bytes = 0
  }
}

const BEAT_MS = 10
const MOST_PER_BEAT_MS = 25

/**
 * The time of this machine, less what it took away: between two beats of the event loop no more passes than it would on
 * an idle one. Nodes that share a starved process so do not find each other silent.
 */
export class PatientClock implements Disposable {
  readonly #timer = setInterval(() => this.beat(), BEAT_MS).unref()
  #beatAt = performance.now()
  #passed = 0

  now(): number {
    return this.#passed + Math.min(performance.now() - this.#beatAt, MOST_PER_BEAT_MS)
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  private beat(): void {
    this.#passed = this.now()
    this.#beatAt = performance.now()
  }
}

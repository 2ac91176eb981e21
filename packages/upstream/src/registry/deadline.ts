/** A time limit that can be lifted, beside a signal that goes on counting. */
export class Deadline {
  /** Aborts when the time is up, and with the other one. */
  readonly signal: AbortSignal
  readonly #limit = new AbortController()
  readonly #timer: NodeJS.Timeout

  constructor(outer: AbortSignal, ms: number) {
    this.signal = AbortSignal.any([outer, this.#limit.signal])
    this.#timer = setTimeout(() => this.#limit.abort(new DOMException('the time is up', 'TimeoutError')), ms)
  }

  get expired(): boolean {
    return this.#limit.signal.aborted
  }

  lift(): void {
    clearTimeout(this.#timer)
  }
}

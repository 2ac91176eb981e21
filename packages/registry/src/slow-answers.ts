export interface SlowAnswersOptions {
  /** Answers whose clients are slow, at one time. */
  readonly max: number
  /** How long a client may take for what it was given last before it counts as slow. */
  readonly afterMs: number
}

/**
 * Bounds the memory that clients have held for them by not reading: of those that are slow, the one that has been waited
 * for the longest is cut off when there are too many. A few slow ones are nobody's harm.
 */
export class SlowAnswers {
  readonly #options: SlowAnswersOptions
  /** The one that has been slow for the longest comes first. */
  readonly #slow = new Set<() => void>()

  constructor(options: SlowAnswersOptions) {
    this.#options = options
  }

  /**
   * Tells that something was given to a client.
   * @param cut ends the answer; called at most once
   * @returns to be called when the client has taken it
   */
  given(cut: () => void): () => void {
    const cutOff = () => {
      this.#slow.delete(cutOff)
      cut()
    }
    const timer = setTimeout(() => {
      this.#slow.add(cutOff)
      const [slowest] = this.#slow
      if (this.#slow.size > this.#options.max) slowest?.()
    }, this.#options.afterMs)
    return () => {
      clearTimeout(timer)
      this.#slow.delete(cutOff)
    }
  }
}

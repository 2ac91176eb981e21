/** So many at one time; others wait in their order. */
export class Slots {
  readonly #waiting: (() => void)[] = []
  readonly #limit: number
  #taken = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Waits for a free slot. @returns what gives it back, once @throws the reason of `signal` */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted()
    if (this.#taken < this.#limit) this.#taken++
    else await this.#wait(signal)
    let given = false
    return () => {
      if (given) return
      given = true
      this.#give()
    }
  }

  /** A slot passes from hand to hand while somebody waits. */
  #give(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#taken--
    else next()
  }

  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiting.splice(this.#waiting.indexOf(go), 1)
        reject(signal.reason)
      }
      const go = () => {
        signal.removeEventListener('abort', onAbort)
        resolve()
      }
      signal.addEventListener('abort', onAbort, { once: true })
      this.#waiting.push(go)
    })
  }
}

/** Runs work on the same key one after the other, in the order it was asked for; work on other keys goes on beside it. */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<void>>()

  async run<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.#tails.get(key)
    const running = before === undefined ? work() : before.then(work)
    const tail = running.then(
      () => {},
      () => {}
    )
    this.#tails.set(key, tail)
    try {
      return await running
    } finally {
      if (this.#tails.get(key) === tail) this.#tails.delete(key)
    }
  }

  /** Runs work now if nothing else runs on the key; else does nothing and resolves undefined. */
  async tryRun<Result>(key: string, work: () => Promise<Result>): Promise<Result | undefined> {
    return this.#tails.has(key) ? undefined : await this.run(key, work)
  }
}

/** Remembers how to end what was started, and ends it in the opposite order. */
export class Teardown {
  readonly #ends: (() => unknown)[] = []

  /** @param end called by {@link run}; may be async */
  add(end: () => unknown): void {
    this.#ends.push(end)
  }

  /** Ends everything, also when some of it fails. @throws {AggregateError} of what failed */
  async run(): Promise<void> {
    const failures: unknown[] = []
    for (const end of this.#ends.splice(0).reverse()) {
      try {
        await end()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, 'not everything could be stopped')
  }
}

/**
 * Virtual time, as a calendar of what is to happen. Time goes in steps; whatever falls into a step happens at its end,
 * in the order in which it was entered. That makes an entry cost one push, and the order the same in every run.
 */
export class Clock {
  readonly stepMs: number
  readonly #days = new Map<number, (() => void)[]>()
  #step = 0
  #entries = 0

  constructor(stepMs: number) {
    this.stepMs = stepMs
  }

  /** Milliseconds since the world began. */
  get now(): number {
    return this.#step * this.stepMs
  }

  /** How many entries are still to happen. */
  get entries(): number {
    return this.#entries
  }

  /** Enters what happens after so many milliseconds; after 0, it happens in this step still. */
  after(delayMs: number, happen: () => void): void {
    const step = this.#step + Math.ceil(Math.max(0, delayMs) / this.stepMs)
    const day = this.#days.get(step)
    if (day) day.push(happen)
    else this.#days.set(step, [happen])
    this.#entries++
  }

  /** Lets everything happen that is due now, also what is entered for now meanwhile. */
  run(): void {
    const day = this.#days.get(this.#step)
    if (!day) return
    for (const happen of day) happen()
    this.#entries -= day.length
    this.#days.delete(this.#step)
  }

  advance(): void {
    this.#step++
  }

  /** Goes on to the next step with an entry, as nothing else happens before it. */
  skip(): void {
    if (this.#entries === 0) return
    while (!this.#days.has(this.#step)) this.#step++
  }
}

/** Random numbers from a seed (sfc32): the same seed gives the same numbers on every machine. */
export class Random {
  #a = 0x9e3779b9
  #b = 0x243f6a88
  #c = 0xb7e15162
  #counter: number

  /** @param seed any number; its lower 32 bits count */
  constructor(seed: number) {
    this.#counter = seed >>> 0
    for (let round = 0; round < 16; round++) this.next32()
  }

  /** A number in [0, 1). */
  next(): number {
    return this.next32() / 2 ** 32
  }

  /** A whole number in [0, below). */
  below(below: number): number {
    return Math.floor(this.next() * below)
  }

  /** Whether something of this probability happens. */
  chance(probability: number): boolean {
    return this.next() < probability
  }

  /** Up to `count` different ones of `from`, in random order. */
  sample<T>(from: readonly T[], count: number): T[] {
    if (count >= from.length) return this.shuffle([...from])
    if (count * 4 >= from.length) return this.shuffle([...from]).slice(0, count)
    const chosen = new Set<T>()
    while (chosen.size < count) {
      const one = from[this.below(from.length)]
      if (one !== undefined) chosen.add(one)
    }
    return [...chosen]
  }

  /** Brings the list into random order, in place. */
  shuffle<T>(list: T[]): T[] {
    for (let last = list.length - 1; last > 0; last--) {
      const other = this.below(last + 1)
      const [one, two] = [list[last], list[other]]
      if (one === undefined || two === undefined) continue
      list[last] = two
      list[other] = one
    }
    return list
  }

  private next32(): number {
    const sum = (this.#a + this.#b + this.#counter) >>> 0
    this.#counter = (this.#counter + 1) >>> 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) >>> 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) >>> 0
    return sum
  }
}

import { randomInt } from 'node:crypto'

const MAX_SEED = 2 ** 31 - 1

/** Chances that come again with the same seed. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  /** With a new seed, which is printed, or the one that `LAYERMESH_TEST_SEED` gives. */
  static printed(): Random {
    const [seed = 0] = testSeeds(1)
    console.log(`random seed: LAYERMESH_TEST_SEED=${seed}`)
    return new Random(seed)
  }

  /** Others, for someone whose steps come in no fixed order with ours. */
  fork(): Random {
    return new Random(this.integer(0, MAX_SEED))
  }

  /** A whole number from `min` up to and with `max`. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.fraction() * (max - min + 1))
  }

  /** One of these. */
  pick<T>(choices: readonly [T, ...T[]]): T {
    return choices[this.integer(0, choices.length - 1)] ?? choices[0]
  }

  /** In [0, 1): the top bits of a linear congruential generator modulo 2^32 (Knuth, The Art of Computer Programming, 3.3.4). */
  fraction(): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0
    return this.#state / 2 ** 32
  }
}

/** A seed for each of `count` runs: the first is what `LAYERMESH_TEST_SEED` gives, if it does; the others are new. */
export function testSeeds(count: number): number[] {
  const given = process.env.LAYERMESH_TEST_SEED
  return Array.from({ length: count }, (_, i) => (i === 0 && given !== undefined ? Number(given) : randomInt(MAX_SEED)))
}

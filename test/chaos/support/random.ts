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
    const seed = Number(process.env.LAYERMESH_TEST_SEED ?? randomInt(MAX_SEED))
    console.log(`random seed: LAYERMESH_TEST_SEED=${seed}`)
    return new Random(seed)
  }

  /** Others, for someone whose steps come in no fixed order with ours. */
  fork(): Random {
    return new Random(this.integer(0, MAX_SEED))
  }

  /** A whole number from `min` up to and with `max`. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.#fraction() * (max - min + 1))
  }

  /** In [0, 1): the top bits of a linear congruential generator modulo 2^32 (Knuth, The Art of Computer Programming, 3.3.4). */
  #fraction(): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0
    return this.#state / 2 ** 32
  }
}

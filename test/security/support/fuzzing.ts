import { randomInt } from 'node:crypto'
import fc from 'fast-check'

const MAX_SEED = 2 ** 31 - 1
/** At how many inputs at a time they are tried over the network. */
const CONCURRENCY = 16

/** How much is tried: `LAYERMESH_FUZZ_RUNS` inputs on each surface, the same again with `LAYERMESH_TEST_SEED`. */
export const FUZZ = Object.freeze({
  runs: Number(process.env.LAYERMESH_FUZZ_RUNS ?? 10_000),
  seed: Number(process.env.LAYERMESH_TEST_SEED ?? randomInt(MAX_SEED))
})

console.log(`random seed: LAYERMESH_TEST_SEED=${FUZZ.seed} LAYERMESH_FUZZ_RUNS=${FUZZ.runs}`)

/** For `fc.assert`. */
export const PARAMETERS = Object.freeze({ numRuns: FUZZ.runs, seed: FUZZ.seed })

/**
 * Tries each of the random inputs, several at a time, and ends with the first that fails. For what takes a network:
 * inputs are not shrunk. @throws with the input
 */
export async function tryEach<T>(
  inputs: fc.Arbitrary<T>,
  attempt: (input: T) => Promise<void>,
  runs = FUZZ.runs
): Promise<void> {
  const samples = fc.sample(inputs, { numRuns: runs, seed: FUZZ.seed })
  let next = 0
  const work = async () => {
    while (next < samples.length) {
      const input = samples[next++] as T
      try {
        await attempt(input)
      } catch (cause) {
        next = samples.length
        throw new Error(`with LAYERMESH_TEST_SEED=${FUZZ.seed} the input ${fc.stringify(input)} failed: ${cause}`, {
          cause
        })
      }
    }
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, work))
}

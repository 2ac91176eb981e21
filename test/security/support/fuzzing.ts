import { randomInt } from 'node:crypto'
import fc from 'fast-check'

const MAX_SEED = 2 ** 31 - 1
/** At how many inputs at a time they are tried over the network. */
const CONCURRENCY = 16

/** How much is tried: `LAYERMESH_FUZZ_RUNS` inputs on each surface, the same again with `LAYERMESH_TEST_SEED`. */
export const FUZZ = Object.freeze({
  runs: Number(process.env.LAYERMESH_FUZZ_RUNS ?? 10_000),
  /** Whether as many are tried also where each takes long; unless it is asked for, fewer are. */
  all: process.env.LAYERMESH_FUZZ_RUNS !== undefined,
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

/** Bytes as somebody hostile may send them in place of `sample`: changed in a few places, cut, doubled, or just any. */
export function hostileBytes(sample: Buffer): fc.Arbitrary<Buffer> {
  const byte = fc.oneof(fc.nat({ max: 255 }), fc.constantFrom(0, 0x7f, 0x80, 0xff, 0x5b, 0x9f, 0xbb, 0xf6))
  const edit = fc.record({
    at: fc.nat({ max: Math.max(0, sample.length - 1) }),
    cut: fc.nat({ max: 4 }),
    put: fc.array(byte, { maxLength: 8 })
  })
  const changed = fc.array(edit, { minLength: 1, maxLength: 4 }).map((edits) => {
    let bytes = sample
    for (const { at, cut, put } of edits) {
      bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from(put), bytes.subarray(at + cut)])
    }
    return bytes
  })
  const cut = fc.nat({ max: sample.length }).map((length) => Buffer.from(sample.subarray(0, length)))
  const any = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes))
  const behind = any.map((bytes) => Buffer.concat([sample, bytes]))
  return fc.oneof({ weight: 6, arbitrary: changed }, cut, any, behind)
}

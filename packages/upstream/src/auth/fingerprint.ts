import { createHmac, randomBytes } from 'node:crypto'

/**
 * Names for secrets that tell them apart and tell nothing of them: HMACs under a key of this process. Two of them can not be
 * compared by guessing, as hashes could.
 */
export class Fingerprint {
  readonly #key = randomBytes(32)

  of(...parts: readonly string[]): string {
    return createHmac('sha256', this.#key).update(JSON.stringify(parts)).digest('base64')
  }
}

import type { AskSeed } from '@layermesh/access'
import type { TagClient } from '@layermesh/mesh'
import { isOciError } from '@layermesh/oci'

export interface AskSeedComponents {
  readonly peerId: string
  readonly client: Pick<TagClient, 'authenticate'>
  /** The peer ids that may sign for anything. */
  signers(): readonly string[]
  connected(): readonly string[]
}

/** Seeds that are asked one after the other, and how long each of them may take. */
const MAX_SEEDS = 2
const DEADLINE_MS = 5_000

/**
 * Has a connected seed judge what a client showed. One that does not answer, or makes no tokens, is passed over; what
 * one says counts, also when it refuses.
 */
export function createAskSeed({ peerId, client, signers, connected }: AskSeedComponents): AskSeed {
  return async (request, signal) => {
    const here = new Set(connected())
    const seeds = signers().filter((signer) => signer !== peerId && here.has(signer))
    for (const seed of seeds.slice(0, MAX_SEEDS)) {
      try {
        return await client.authenticate(seed, request, AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)]))
      } catch (error) {
        if (isOciError(error) && error.code !== 'UNSUPPORTED' && error.code !== 'UNAVAILABLE') throw error
        signal.throwIfAborted()
      }
    }
    return undefined
  }
}

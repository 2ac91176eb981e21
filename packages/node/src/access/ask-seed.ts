import { type AskSeed, parseScopes } from '@layermesh/access'
import type { TagClient } from '@layermesh/mesh'
import { isOciError, type Repository } from '@layermesh/oci'

export interface AskSeedComponents {
  readonly peerId: string
  readonly isSeed: boolean
  readonly client: Pick<TagClient, 'authenticate'>
  /** Who may sign tags. */
  readonly trust: {
    signers(): readonly string[]
    maySign(peerId: string, repository: Repository): boolean
  }
  connected(): readonly string[]
  /** The repository that the name in a scope means; undefined for none. */
  repositoryOf(name: string): Repository | undefined
}

/** Seeds that are asked one after the other, and how long each of them may take. */
const MAX_SEEDS = 2
const DEADLINE_MS = 5_000

/**
 * Has a connected seed judge what a client showed: first one that may sign for what the client wants to change. A seed
 * asks only for what it may not sign for itself. One that does not answer, or makes no tokens, is passed over; what one
 * says counts, also when it refuses.
 */
export function createAskSeed(components: AskSeedComponents): AskSeed {
  return async (request, signal) => {
    for (const seed of seedsFor(components, request.scopes).slice(0, MAX_SEEDS)) {
      try {
        const deadline = AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)])
        return await components.client.authenticate(seed, request, deadline)
      } catch (error) {
        if (isOciError(error) && error.code !== 'UNSUPPORTED' && error.code !== 'UNAVAILABLE') throw error
        signal.throwIfAborted()
      }
    }
    return undefined
  }
}

function seedsFor(
  { peerId, isSeed, trust, connected, repositoryOf }: AskSeedComponents,
  scopes: readonly string[]
): readonly string[] {
  const changed = parseScopes(scopes)
    .filter(({ type, actions }) => type === 'repository' && actions.some((action) => action !== 'pull'))
    .flatMap(({ name }) => repositoryOf(name) ?? [])
  const signed = (seed: string) => changed.filter((repository) => trust.maySign(seed, repository)).length
  const here = new Set(connected())
  const seeds = trust.signers().filter((signer) => signer !== peerId && here.has(signer))
  if (isSeed) return seeds.filter((seed) => signed(seed) > signed(peerId)).sort((a, b) => signed(b) - signed(a))
  return seeds.sort((a, b) => signed(b) - signed(a))
}

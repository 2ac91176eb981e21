import type { Repository } from '@layermesh/oci'
import { DEFAULT_FRESHNESS, type FreshnessPolicy, RepositoryPattern } from '@layermesh/trust'
import type { NodeConfig } from '../config/node-config.ts'

/** Of tags of other registries: each check of one is a request to its registry. */
const MIRRORED_FRESHNESS: FreshnessPolicy = Object.freeze({ ...DEFAULT_FRESHNESS, maxAgeMs: 30_000 })

/**
 * How old a tag of a repository may be, by the first pattern that fits.
 * @param isMirrored whether its tags mean what another registry says
 * @throws {TrustError} POLICY_INVALID
 */
export function freshnessPolicies(
  rules: NodeConfig['freshness'],
  isMirrored: (repository: Repository) => boolean
): (repository: Repository) => FreshnessPolicy {
  const policies = rules.map(({ repositories, maxAgeMs, maxStaleMs }) => ({
    pattern: new RepositoryPattern(repositories),
    policy: { ...DEFAULT_FRESHNESS, maxAgeMs, maxStaleMs }
  }))
  const byDefault = (repository: Repository) => (isMirrored(repository) ? MIRRORED_FRESHNESS : DEFAULT_FRESHNESS)
  return (repository) => policies.find(({ pattern }) => pattern.matches(repository))?.policy ?? byDefault(repository)
}

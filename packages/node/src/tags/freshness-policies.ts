import type { Repository } from '@layermesh/oci'
import { DEFAULT_FRESHNESS, type FreshnessPolicy, RepositoryPattern } from '@layermesh/trust'
import type { NodeConfig } from '../config/node-config.ts'

/** How old a tag of a repository may be, by the first pattern that fits. @throws {TrustError} POLICY_INVALID */
export function freshnessPolicies(rules: NodeConfig['freshness']): (repository: Repository) => FreshnessPolicy {
  const policies = rules.map(({ repositories, maxAgeMs, maxStaleMs }) => ({
    pattern: new RepositoryPattern(repositories),
    policy: { ...DEFAULT_FRESHNESS, maxAgeMs, maxStaleMs }
  }))
  return (repository) => policies.find(({ pattern }) => pattern.matches(repository))?.policy ?? DEFAULT_FRESHNESS
}

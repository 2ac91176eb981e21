import type { Repository } from '@layermesh/oci'
import { ANONYMOUS, type Identity, type RepositoryAction } from './access-types.ts'
import type { AccessRules } from './rules.ts'

/**
 * What a client may: what everybody may, and, of what the rules give its user, that to which its credential is not
 * narrowed.
 */
export function isAllowed(
  rules: AccessRules,
  identity: Identity,
  action: RepositoryAction,
  repository: Repository
): boolean {
  if (rules.allows(ANONYMOUS, action, repository)) return true
  return (
    rules.allows(identity, action, repository) &&
    identity.narrowings.every((narrowing) => narrowing.allows(action, repository))
  )
}

import type { Repository } from '@layermesh/oci'
import { ANONYMOUS, type Identity, type RepositoryAction } from './access-types.ts'
import type { AccessRules } from './rules.ts'

/** What a client may: what everybody may, and, of what its credential may, that which its token covers. */
export function isAllowed(
  rules: AccessRules,
  identity: Identity,
  action: RepositoryAction,
  repository: Repository
): boolean {
  if (rules.allows(ANONYMOUS, action, repository)) return true
  const { token } = identity
  return isAllowedByCredential(rules, identity, action, repository) && (token?.allows(action, repository) ?? true)
}

/** What a client may with the widest token that its credential is given: what the rules allow its user, within the credential's limit. */
export function isAllowedByCredential(
  rules: AccessRules,
  identity: Identity,
  action: RepositoryAction,
  repository: Repository
): boolean {
  return rules.allows(identity, action, repository) && (identity.limit?.allows(action, repository) ?? true)
}

/** Whether a client may be told that a repository is there, in the list of all. */
export function isListed(rules: AccessRules, identity: Identity, repository: Repository): boolean {
  if (isAllowed(rules, identity, 'pull', repository)) return true
  return identity.token?.lists === true && isAllowedByCredential(rules, identity, 'pull', repository)
}

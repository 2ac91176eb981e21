import { OciError, type Repository, type Tag } from '@layermesh/oci'
import type { Caller, RepositoryAction } from '@layermesh/registry'

/** Whoever may neither create nor update tags has no reason to bring content. @throws {OciError} DENIED, UNAUTHORIZED */
export function requirePush(caller: Caller, repository: Repository): void {
  if (!caller.may('create', repository) && !caller.may('update', repository))
    throw refusal(caller, 'create', repository)
}

/** @throws {OciError} DENIED, UNAUTHORIZED */
export function requireDelete(caller: Caller, repository: Repository): void {
  if (!caller.may('delete', repository)) throw refusal(caller, 'delete', repository)
}

/**
 * What is mirrored is as its registry has it, whoever asks.
 * @param mirroredFrom that registry; undefined when the repository is the mesh's own
 * @throws {OciError} DENIED
 */
export function requireOwn(mirroredFrom: string | undefined, repository: Repository): void {
  if (mirroredFrom === undefined) return
  throw new OciError(
    'DENIED',
    `${repository} is mirrored from ${mirroredFrom}, and can be changed only there; the settings upstreams and trust say what is mirrored and what is the mesh's own`,
    { detail: { repository } }
  )
}

/** What a caller is told who may not: the anonymous that they could say who they are. */
export function refusal(caller: Caller, action: RepositoryAction, repository: Repository, tag?: Tag): OciError {
  const what = tag === undefined ? `${action} in ${repository}` : `${action} the tag ${tag} of ${repository}`
  const detail = { repository, action, ...(tag === undefined ? {} : { tag }) }
  if (caller.name === undefined) return new OciError('UNAUTHORIZED', `log in to ${what}`, { detail })
  return new OciError('DENIED', `${caller.name} may not ${what}`, { detail })
}

/** What a seed is shown of a caller whose request is passed on to it. */
export function credentialOf({ credential }: Caller): { credential?: string } {
  return credential === undefined ? {} : { credential }
}

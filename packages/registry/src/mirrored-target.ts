import type { IncomingMessage } from 'node:http'
import { OciError } from '@layermesh/oci'
import type { Services } from './exchange.ts'
import type { Caller, MirrorQuestion, RegistryMirrors } from './interfaces.ts'
import type { RepositoryRoute } from './route.ts'
import type { RepositoryTarget, Target } from './target.ts'

/**
 * The repository that a name without a registry means, as far as nothing has to be looked up for it: the name of an
 * official image, such as `library/nginx`, is the default registry's.
 */
export function withDefaultRegistry(target: Target, mirrors: RegistryMirrors | undefined): Target {
  const alternative = mirrors && isUnhinted(target) ? mirrors.alternative(target.repository) : undefined
  if (target.repository === undefined || !alternative?.always) return target
  return { ...target, repository: alternative.repository, isMirrored: true }
}

/**
 * The same for other names, which are pulled from the default registry where the mesh has no such repository. Whoever may
 * not pull from that of the mesh must not learn whether it is there: such a request means the mesh's own on the
 * registry, which may ask who it is, and the default registry's on the mirror. A pull begins with a manifest; who asks
 * for a blob of a repository of which there was none is about to push it, and no other registry is to learn its name.
 */
export async function withOwnOrDefault(
  { backend, options }: Pick<Services, 'backend' | 'options'>,
  request: IncomingMessage,
  target: Target,
  caller: Caller
): Promise<Target> {
  const { mirrors } = backend
  if (!isPull(request) || mirrors === undefined || !isUnhinted(target)) return target
  const alternative = mirrors.alternative(target.repository)
  if (alternative === undefined) return target
  const isOwn = caller.may('pull', target.repository)
    ? await mirrors.hasOwn(target.repository)
    : options.face === 'registry'
  if (isOwn || (target.route.endpoint !== 'manifest' && !(await mirrors.wasPulled(alternative.repository))))
    return target
  return { ...target, repository: alternative.repository, isMirrored: true }
}

/**
 * Refuses what the registry behind a mirrored repository would refuse this client, as if it were not there, and all that
 * would change it.
 * @throws {OciError} NAME_UNKNOWN, DENIED
 */
export async function checkMirrored(
  { backend, guard }: Pick<Services, 'backend' | 'guard'>,
  request: IncomingMessage,
  target: Target
): Promise<void> {
  const { mirrors } = backend
  if (mirrors === undefined || target.repository === undefined || !target.isMirrored) return
  const { repository, route } = target
  const host = mirrors.hostOf(repository)
  if (host === undefined) return
  if (!isPull(request) || route.endpoint === 'uploads' || route.endpoint === 'upload') {
    throw new OciError('DENIED', `${repository} is mirrored from ${host}, and can be changed only there`, {
      detail: { repository }
    })
  }
  const authorization = guard.isOpen ? request.headers.authorization : undefined
  if (await mirrors.admits({ repository, content: contentOf(route), authorization })) return
  throw new OciError('NAME_UNKNOWN', 'the repository can not be had here')
}

function contentOf(route: RepositoryRoute): MirrorQuestion['content'] {
  if (route.endpoint === 'manifest') return { manifest: route.reference.tag ?? route.reference.digest }
  return route.endpoint === 'blob' ? { blob: route.digest } : undefined
}

/** Whether the name is all that the client said: neither `ns` nor a host in the path, not even this registry's own. */
function isUnhinted(target: Target): target is RepositoryTarget {
  const { repository, namespace, route, isMirrored } = target
  return repository !== undefined && namespace === undefined && !isMirrored && route.name === repository
}

function isPull({ method }: IncomingMessage): boolean {
  return method === 'GET' || method === 'HEAD'
}

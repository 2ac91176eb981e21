import type { IncomingMessage } from 'node:http'
import { isOciError } from '@layermesh/oci'
import { needOf } from './access/needs.ts'
import type { Caller, RegistryRefusal } from './interfaces.ts'
import type { RepositoryRoute } from './route.ts'
import type { Target } from './target.ts'

type Refusal = Pick<RegistryRefusal, 'action' | 'repository' | 'reference' | 'reason'>

/**
 * What there is to tell of a request that failed: something when a right was missing, also where the client is told no
 * more than that there is nothing. That somebody unknown was asked to log in is no refusal yet.
 */
export function refusalOf(
  request: IncomingMessage,
  target: Target,
  caller: Caller,
  error: unknown
): Refusal | undefined {
  const { route, repository, query } = target
  if (repository === undefined || !isOciError(error)) return undefined
  const method = request.method ?? ''
  const { anyOf } = needOf(method, route, query.get('tag') !== undefined)
  const lacksRight = caller.name !== undefined && !anyOf.some((action) => caller.may(action, repository))
  if (!isOciError(error, 'DENIED') && !lacksRight) return undefined
  const reference = referenceOf(route)
  const action = anyOf.includes('pull') ? 'pull' : anyOf.includes('delete') ? 'delete' : 'push'
  return { action, repository, ...(reference === undefined ? {} : { reference }), reason: error.message }
}

function referenceOf(route: RepositoryRoute): string | undefined {
  if (route.endpoint === 'manifest') return route.reference.tag ?? route.reference.digest
  return 'digest' in route ? route.digest : undefined
}

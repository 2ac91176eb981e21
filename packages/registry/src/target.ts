import { OciError, type Repository, registryHostOf } from '@layermesh/oci'
import { addressRepository, isOwnHost } from './addressing.ts'
import { Query } from './query.ts'
import { parseRoute, type RepositoryRoute, type Route } from './route.ts'

interface Asked {
  readonly query: Query
  /** The `ns` that the client gave. */
  readonly namespace: string | undefined
  /** Whether it is content of another registry, that this one mirrors. */
  readonly isMirrored: boolean
}

/** What a request is about, when that lies in no repository. */
export interface GlobalTarget extends Asked {
  readonly route: Exclude<Route, RepositoryRoute>
  readonly repository: undefined
}

/** What a request is about, in a repository. */
export interface RepositoryTarget extends Asked {
  readonly route: RepositoryRoute
  readonly repository: Repository
}

/** What a request is about. Rights are judged by it alone, never by the raw path. */
export type Target = GlobalTarget | RepositoryTarget

/**
 * Reads the raw target of a request; undefined when no endpoint is there.
 * @throws {OciError} NAME_INVALID, NAME_UNKNOWN, DIGEST_INVALID, TAG_INVALID, BLOB_UPLOAD_UNKNOWN
 */
export function parseTarget(url: string, ownHosts: readonly string[]): Target | undefined {
  const mark = url.indexOf('?')
  const route = parseRoute(mark < 0 ? url : url.slice(0, mark))
  if (route === undefined) return undefined
  const query = new Query(mark < 0 ? '' : url.slice(mark + 1))
  const namespace = namespaceOf(query)
  if (route.endpoint === 'base') {
    const isMirrored = namespace !== undefined && !isOwnHost(namespace.toLowerCase(), ownHosts)
    return { route, query, namespace, repository: undefined, isMirrored }
  }
  const name = route.endpoint === 'catalog' ? 'any' : route.name
  const repository = addressRepository(name, namespace, ownHosts)
  const asked = { query, namespace, isMirrored: registryHostOf(repository) !== undefined }
  return route.endpoint === 'catalog' ? { route, repository: undefined, ...asked } : { route, repository, ...asked }
}

function namespaceOf(query: Query): string | undefined {
  const [namespace, ...more] = query.all('ns')
  if (more.length === 0) return namespace
  throw new OciError('NAME_UNKNOWN', 'ns can be given once')
}

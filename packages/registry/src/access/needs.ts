import type { RepositoryAction } from '../interfaces.ts'
import type { Route } from '../route.ts'

/** The rights in its repository without which a request is refused. */
export interface Need {
  /** One of these is enough to be let in. */
  readonly anyOf: readonly RepositoryAction[]
  /** What a client that has none of them should ask a token for: all that the whole of what it is about takes. */
  readonly scope: readonly RepositoryAction[]
}

const PULL: Need = { anyOf: ['pull'], scope: ['pull'] }
const PUSH: Need = { anyOf: ['create'], scope: ['pull', 'create'] }
const TAG: Need = { anyOf: ['create', 'update'], scope: ['pull', 'create', 'update'] }
const DELETE: Need = { anyOf: ['delete'], scope: ['delete'] }

/**
 * What a request needs in the repository that its route lies in. An upload session is part of pushing, whether it is
 * read, continued or cancelled. Whether a push creates a tag or changes one only whoever signs the tag can tell.
 *
 * @param hasTags whether the query of a push by digest names tags
 */
export function needOf(method: string, route: Route, hasTags: boolean): Need {
  if (route.endpoint === 'uploads' || route.endpoint === 'upload') return PUSH
  if (method === 'GET' || method === 'HEAD') return PULL
  if (method === 'DELETE') return DELETE
  const setsTags = route.endpoint === 'manifest' && (route.reference.tag !== undefined || hasTags)
  return setsTags ? TAG : PUSH
}

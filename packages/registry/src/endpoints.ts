import { sendJson } from './answer.ts'
import type { Exchange, RepositoryExchange, Services } from './exchange.ts'
import { deleteBlob, getBlob, headBlob } from './handlers/blobs.ts'
import { listRepositories, listTags } from './handlers/lists.ts'
import { deleteManifest, getManifest, putManifest } from './handlers/manifests.ts'
import { listReferrers } from './handlers/referrers.ts'
import { appendToUpload, cancelUpload, finishUpload, showUpload, startUpload } from './handlers/uploads.ts'
import type { RepositoryRoute, Route } from './route.ts'

/** What an endpoint does for each method. */
export type Methods = Readonly<Record<string, () => Promise<void>>>

/** The methods of the endpoints that lie in no repository. */
export function globalMethods(services: Services, exchange: Exchange, endpoint: 'base' | 'catalog'): Methods {
  const show =
    endpoint === 'catalog' ? () => listRepositories(services, exchange) : async () => sendJson(exchange.response, {})
  return { GET: show, HEAD: show }
}

/** The methods of the endpoints of a repository. */
export function repositoryMethods(services: Services, exchange: RepositoryExchange, route: RepositoryRoute): Methods {
  switch (route.endpoint) {
    case 'tags': {
      const list = () => listTags(services, exchange)
      return { GET: list, HEAD: list }
    }
    case 'referrers': {
      const list = () => listReferrers(services, exchange, route.digest)
      return { GET: list, HEAD: list }
    }
    case 'manifest': {
      const get = () => getManifest(services, exchange, route.reference)
      return {
        GET: get,
        HEAD: get,
        PUT: () => putManifest(services, exchange, route.reference),
        DELETE: () => deleteManifest(services, exchange, route.reference)
      }
    }
    case 'blob':
      return {
        GET: () => getBlob(services, exchange, route.digest),
        HEAD: () => headBlob(services, exchange, route.digest),
        DELETE: () => deleteBlob(services, exchange, route.digest)
      }
    case 'uploads':
      return { POST: () => startUpload(services, exchange) }
    case 'upload': {
      const show = () => showUpload(services, exchange, route.id)
      return {
        GET: show,
        HEAD: show,
        PATCH: () => appendToUpload(services, exchange, route.id),
        PUT: () => finishUpload(services, exchange, route.id),
        DELETE: () => cancelUpload(services, exchange, route.id)
      }
    }
  }
}

/** Tells whether the options let this method be used here. Cancelling an upload is part of pushing, not a deletion. */
export function isEnabled(method: string, endpoint: Route['endpoint'], options: Services['options']): boolean {
  if (method === 'GET' || method === 'HEAD') return true
  if (options.readOnly || options.face === 'mirror') return false
  return method !== 'DELETE' || endpoint === 'upload' || options.deletes
}

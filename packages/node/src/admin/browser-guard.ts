import { isIP } from 'node:net'
import type { RequestHandler } from 'express'
import { AdminError } from './errors.ts'

const HOST = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+))(?::[0-9]{1,5})?$/

/**
 * Keeps pages of other sites from using a browser to get at this listener. A `Host` that is neither an IP address, nor
 * localhost, nor one of `names` is refused, since a stranger's name can be made to point here (DNS rebinding); so is
 * what another site's page asks for (`Origin`, Fetch Metadata), but for following a link to here.
 */
export function browserGuard(names: readonly string[]): RequestHandler {
  const known = new Set(['localhost', ...names.map((name) => name.toLowerCase())])
  return (request, _response, next) => {
    const { host, origin } = request.headers
    if (!isKnownHost(host, known)) {
      throw new AdminError(
        403,
        'HOST_REFUSED',
        'this name is not known here; add it to admin.hosts, or use the IP address'
      )
    }
    const sameOrigin = origin === undefined || origin === `http://${host}` || origin === `https://${host}`
    if (!sameOrigin || isForeign(request.method, request.headers)) {
      throw new AdminError(403, 'CROSS_SITE', 'pages of other sites may not ask this')
    }
    next()
  }
}

function isKnownHost(header: string | undefined, known: ReadonlySet<string>): boolean {
  const [, bracketed, bare = ''] = HOST.exec(header?.toLowerCase() ?? '') ?? []
  if (bracketed !== undefined) return isIP(bracketed) === 6
  return isIP(bare) === 4 || known.has(bare)
}

/** Fetch Metadata Request Headers: what a page of another origin asks for, other than to be left for this one. */
function isForeign(method: string, headers: NodeJS.Dict<string | string[]>): boolean {
  const site = headers['sec-fetch-site']
  if (site === undefined || site === 'same-origin' || site === 'none') return false
  const followsLink = headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document'
  return !(followsLink && method === 'GET')
}

/** An HTTP proxy on the way to other registries. */
export interface HttpProxy {
  /** Scheme, host and port; it holds no credential, so that it may be shown. */
  readonly origin: string
  /** What it is shown as `Proxy-Authorization`; undefined: nothing. */
  readonly authorization: string | undefined
}

/** The place of a request, as a URL has it; an IPv6 address with or without brackets. */
export type ProxyTarget = Pick<URL, 'protocol' | 'hostname' | 'port'>

/** Tells by which proxy a place is asked; undefined: directly. */
export type ProxyChoice = (target: ProxyTarget) => HttpProxy | undefined

const HAS_SCHEME = /^[a-z][a-z0-9+.-]*:\/\//i

/**
 * Reads `http://user:password@host:port`; https: too, and no scheme stands for http:, as in most programs.
 * @returns undefined for what names no HTTP proxy
 */
export function parseProxy(text: string): HttpProxy | undefined {
  const url = URL.parse(HAS_SCHEME.test(text) ? text : `http://${text}`)
  if (url === null || !/^https?:$/.test(url.protocol)) return undefined
  if (url.pathname !== '/' || url.search + url.hash !== '') return undefined
  const { origin, username, password } = url
  if (username + password === '') return { origin, authorization: undefined }
  const [user, secret] = [decoded(username), decoded(password)]
  if (user === undefined || secret === undefined) return undefined
  return { origin, authorization: `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}` }
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

type LogMethod = (fields: Readonly<Record<string, unknown>>, message: string) => void

/** Where the registry writes its log; pino and its like fit as they are. A field `err` holds an error. */
export interface RegistryLog {
  readonly debug: LogMethod
  readonly info: LogMethod
  readonly warn: LogMethod
  readonly error: LogMethod
}

/** Parameters of queries that mean something here; anything else may be a secret that went astray. */
const LOGGED_PARAMETERS: ReadonlySet<string> = new Set([
  'artifactType',
  'digest',
  'digest-algorithm',
  'from',
  'last',
  'mount',
  'n',
  'ns',
  'tag'
])

/** The target of a request as it may be logged: without what could be a password in front of the host or in the query. */
export function loggedTarget(url: string): string {
  const [, path = '', search = ''] = /^(?:[a-z]+:\/\/[^/?]*)?([^?]*)\??(.*)$/is.exec(url) ?? []
  const pairs = search.split('&').filter((pair) => LOGGED_PARAMETERS.has(pair.split('=', 1)[0] ?? ''))
  return pairs.length === 0 ? path : `${path}?${pairs.join('&')}`
}

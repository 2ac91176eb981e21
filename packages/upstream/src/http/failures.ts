/** No connection came about. */
export class ConnectFailure extends Error {
  override readonly name: string = 'ConnectFailure'

  constructor(cause: unknown) {
    super('no connection', { cause })
  }
}

/** The proxy did not open a connection, or did not take what it was shown: 407, 403, 502. */
export class ProxyRefusal extends ConnectFailure {
  override readonly name = 'ProxyRefusal'
  readonly code: `PROXY_ANSWERED_${number}`

  constructor(status: number) {
    super(undefined)
    this.code = `PROXY_ANSWERED_${status}`
  }
}

/** What was to be connected to is at an address that must not be asked. The same text whatever address it is. */
export class UnsafeTarget extends Error {
  override readonly name = 'UnsafeTarget'

  constructor() {
    super('an address that may not be reached')
  }
}

/** The code of a system error or of undici, such as `ECONNREFUSED`; it names neither host nor path. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const { code, cause } = error as { code?: unknown; cause?: unknown }
  return typeof code === 'string' ? code : errorCode(cause)
}

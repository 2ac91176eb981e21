/**
 * Why another registry did not give what was asked of it; that it has no such thing is not a failure:
 *
 * - `UNREACHABLE`: no connection, or none in time; also while a registry that could not be reached is left alone
 * - `UNAVAILABLE`: it answered 5xx, or not in time, or broke off and could not be resumed
 * - `RATE_LIMITED`: it answered 429, or it is left alone until the time that it named; see {@link UpstreamError.retryAfterMs}
 * - `UNAUTHORIZED`: it wants another credential than the one that was shown
 * - `DENIED`: it answered 403
 * - `UNSAFE`: it pointed to an address or a token realm that must not be asked
 * - `MALFORMED`: it broke the protocol: no length, another digest, a body too large
 * - `CREDENTIALS_UNAVAILABLE`: the source of credentials that is configured gave none
 */
export type UpstreamErrorCode =
  | 'UNREACHABLE'
  | 'UNAVAILABLE'
  | 'RATE_LIMITED'
  | 'UNAUTHORIZED'
  | 'DENIED'
  | 'UNSAFE'
  | 'MALFORMED'
  | 'CREDENTIALS_UNAVAILABLE'

/** A failure of another registry, or on the way to it. Its message holds no credential and no signed URL. */
export class UpstreamError extends Error {
  override readonly name = 'UpstreamError'
  readonly code: UpstreamErrorCode
  /** The registry, as repositories name it. */
  readonly registry: string
  /** How long to leave it alone, in ms, when it said so. */
  readonly retryAfterMs: number | undefined

  constructor(
    code: UpstreamErrorCode,
    registry: string,
    message: string,
    options: { retryAfterMs?: number; cause?: unknown } = {}
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.registry = registry
    this.retryAfterMs = options.retryAfterMs
  }
}

/** Tells whether `error` is an {@link UpstreamError}, optionally of one code, also when it came from another copy of this module. */
export function isUpstreamError(error: unknown, code?: UpstreamErrorCode): error is UpstreamError {
  if (!(error instanceof Error) || error.name !== 'UpstreamError') return false
  return code === undefined || (error as UpstreamError).code === code
}

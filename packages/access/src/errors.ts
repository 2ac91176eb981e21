import { OciError } from '@layermesh/oci'

/** Why a part of access control can't be set up. */
export type AccessErrorCode =
  /** The htpasswd file is not there, or can't be read. */
  | 'HTPASSWD_UNREADABLE'
  /** A line of the htpasswd file is none, or holds a hash that is not taken. */
  | 'HTPASSWD_INVALID'
  /** The htpasswd file can't be written. */
  | 'HTPASSWD_UNWRITABLE'
  /** A user can't have this name or this password, or is not in the file. */
  | 'USER_INVALID'
  /** A rule, a scope of an API key or a setting of an identity provider means nothing. */
  | 'RULES_INVALID'

/** A failure to set access control up. The message says what was wrong and what to do. */
export class AccessError extends Error {
  override readonly name = 'AccessError'
  readonly code: AccessErrorCode

  constructor(code: AccessErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
  }
}

/** A client that proved nothing. The message never says which part of a credential was wrong. */
export function unauthorized(message: string, cause?: unknown): OciError {
  return new OciError('UNAUTHORIZED', message, cause === undefined ? {} : { cause })
}

/** A client that must wait before it may try again. */
export class TooManyLoginsError extends OciError {
  /** When another attempt is looked at, in ms from now. */
  readonly retryAfterMs: number

  constructor(retryAfterMs: number) {
    const retryAfterSeconds = Math.max(1, Math.ceil(retryAfterMs / 1000))
    super('TOOMANYREQUESTS', `too many log-ins failed; wait ${retryAfterSeconds} s`, { detail: { retryAfterSeconds } })
    this.retryAfterMs = retryAfterMs
  }
}

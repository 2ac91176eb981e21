/** Why something signed, or someone who signs, was refused. */
export type TrustErrorCode =
  /** The bytes are no record: too long, not canonical, a field missing or wrong. */
  | 'RECORD_MALFORMED'
  /** What is to be signed says more than a record of its kind may hold. */
  | 'RECORD_TOO_LARGE'
  /** The bytes were not signed by the key that they name, or not as this kind of record. */
  | 'SIGNATURE_INVALID'
  /** Its signer may not sign for this repository, or not this kind of record. */
  | 'SIGNER_NOT_TRUSTED'
  /** A ticket that does not admit who shows it: of somebody else, past its time, ahead of it, or revoked. */
  | 'TICKET_REFUSED'
  /** The node's key file is no key, or can't be read. */
  | 'KEY_UNREADABLE'
  /** The node's key file can be read by other users of the machine. */
  | 'KEY_EXPOSED'
  /** A new key could not be written. */
  | 'KEY_UNWRITABLE'
  /** The configured trust names no peer id, or a pattern that means nothing. */
  | 'POLICY_INVALID'

/** A failure to trust. The message says what was wrong and, where a person can help, what to do. */
export class TrustError extends Error {
  override readonly name = 'TrustError'
  readonly code: TrustErrorCode

  constructor(code: TrustErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
  }
}

/** Tells whether `error` is a {@link TrustError}, optionally of one code. */
export function isTrustError(error: unknown, code?: TrustErrorCode): error is TrustError {
  return error instanceof TrustError && (code === undefined || error.code === code)
}

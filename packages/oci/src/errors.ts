/**
 * The registry's error codes with the HTTP status each is answered with.
 * Source: OCI distribution-spec 1.1 §Error Codes, and the codes that `distribution` added.
 */
export const ERROR_STATUS = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 400,
  BLOB_UPLOAD_UNKNOWN: 404,
  DENIED: 403,
  DIGEST_INVALID: 400,
  MANIFEST_BLOB_UNKNOWN: 400,
  MANIFEST_INVALID: 400,
  MANIFEST_TOO_LARGE: 413,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  PAGINATION_NUMBER_INVALID: 400,
  RANGE_INVALID: 416,
  SIZE_INVALID: 400,
  TAG_INVALID: 400,
  TOOMANYREQUESTS: 429,
  UNAUTHORIZED: 401,
  UNAVAILABLE: 503,
  UNKNOWN: 500,
  UNSUPPORTED: 405
} as const

export type ErrorCode = keyof typeof ERROR_STATUS

/** A failure that a registry client is told about, as distribution-spec §Error Codes lays it out. */
export class OciError extends Error {
  override readonly name = 'OciError'
  readonly code: ErrorCode
  /** Anything that JSON can carry and that helps the client's user. */
  readonly detail: unknown

  constructor(code: ErrorCode, message: string, options: { detail?: unknown; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.detail = options.detail
  }

  /** The HTTP status that this code is answered with. */
  get status(): number {
    return ERROR_STATUS[this.code]
  }
}

/** Tells whether `error` is an {@link OciError}, optionally of one code, also when it came from another copy of this module. */
export function isOciError(error: unknown, code?: ErrorCode): error is OciError {
  if (!(error instanceof Error) || error.name !== 'OciError') return false
  return code === undefined || (error as OciError).code === code
}

/** The body of an error answer: `{"errors":[{code, message, detail}]}`. */
export function errorBody(error: OciError): string {
  const { code, message, detail } = error
  return JSON.stringify({ errors: [{ code, message, ...(detail === undefined ? {} : { detail }) }] })
}

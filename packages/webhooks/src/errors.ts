/**
 * Why a webhook could not do what was asked:
 *
 * - `ADDRESS_REFUSED`: the receiver is at an address that this endpoint may not reach
 * - `CLOSED`: the webhooks were stopped
 * - `FILE_UNUSABLE`: a file of secrets, headers or certificates can't be read or holds something else
 * - `NOT_FOUND`: there is no such endpoint or event
 * - `OUTBOX_FAILED`: the outbox could not be written; what was to be recorded is not
 * - `OUTBOX_IN_USE`: another process has the outbox open
 * - `STATUS_REFUSED`: the receiver answered, and not with 2xx
 * - `TIMEOUT`: the receiver did not answer in time
 * - `UNREACHABLE`: no answer came: no such host, no connection, no valid certificate
 */
export type WebhookErrorCode =
  | 'ADDRESS_REFUSED'
  | 'CLOSED'
  | 'FILE_UNUSABLE'
  | 'NOT_FOUND'
  | 'OUTBOX_FAILED'
  | 'OUTBOX_IN_USE'
  | 'STATUS_REFUSED'
  | 'TIMEOUT'
  | 'UNREACHABLE'

interface WebhookErrorDetails {
  readonly cause?: unknown
  /** HTTP status of the answer. */
  readonly status?: number
  /** How long the receiver asks to be left alone, in ms. */
  readonly retryAfterMs?: number
}

/** A failure of a webhook. Its message is one line that may be shown: no secret is in it. */
export class WebhookError extends Error {
  override readonly name = 'WebhookError'
  readonly code: WebhookErrorCode
  readonly status: number | undefined
  readonly retryAfterMs: number | undefined

  constructor(code: WebhookErrorCode, message: string, { cause, status, retryAfterMs }: WebhookErrorDetails = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.status = status
    this.retryAfterMs = retryAfterMs
  }
}

/** Tells whether `error` is a {@link WebhookError}, optionally of one code, also when it came from another copy of this module. */
export function isWebhookError(error: unknown, code?: WebhookErrorCode): error is WebhookError {
  if (!(error instanceof Error) || error.name !== 'WebhookError') return false
  return code === undefined || (error as WebhookError).code === code
}

/** The `code` that Node and LevelDB put on their errors. */
export function errorCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | undefined)?.code
  return typeof code === 'string' ? code : undefined
}

import { randomBytes } from 'node:crypto'
import { type ErrorCode, isOciError, OciError } from '@layermesh/oci'

/** An {@link OciError} that is answered with another status than its code's own. */
export class StatusError extends OciError {
  readonly #status: number

  constructor(status: number, code: ErrorCode, message: string) {
    super(code, message)
    this.#status = status
  }

  override get status(): number {
    return this.#status
  }
}

/** The client closed its connection before it had its answer. Nobody is left to tell. */
export class ClientGoneError extends Error {
  override readonly name = 'ClientGoneError'
  readonly code = 'CLIENT_GONE'
}

/** The answer to a pull did not begin in time. */
export class AnswerTimeoutError extends Error {
  override readonly name = 'AnswerTimeoutError'
  readonly code = 'ANSWER_TIMEOUT'
}

/** What a failure becomes: the answer, and how loudly it is logged. */
export interface Failure {
  readonly error: OciError
  readonly level: 'debug' | 'warn' | 'error'
}

/** Failures behind the API that a client is told of; all of them mean that another try, or another host, may help. */
const TOLD: Readonly<Record<string, { message: string; level: Failure['level'] }>> = {
  DISK_FULL: { message: 'the registry has no space left on its disk', level: 'error' },
  BLOB_CORRUPT: { message: 'the stored content is damaged and must be fetched again', level: 'error' },
  DOWNLOAD_FAILED: { message: 'the content could not be brought here', level: 'warn' },
  ANSWER_TIMEOUT: { message: 'the content could not be brought here in time', level: 'warn' }
}

/**
 * The one table from what was thrown to what is answered. What is not known is told as UNKNOWN with an id that the log
 * has too, and nothing else of it leaves the process.
 */
export function failureOf(thrown: unknown): Failure {
  if (isOciError(thrown)) return { error: thrown, level: thrown.status < 500 ? 'debug' : 'warn' }
  const told = toldOf(thrown)
  if (told !== undefined) {
    return { error: new OciError('UNAVAILABLE', told.message, { cause: thrown }), level: told.level }
  }
  const id = randomBytes(8).toString('hex')
  return {
    error: new OciError('UNKNOWN', 'the registry failed; its log has more under this id', {
      detail: { id },
      cause: thrown
    }),
    level: 'error'
  }
}

/** Of an error and its causes the deepest that can be told says best what went wrong. */
function toldOf(thrown: unknown): (typeof TOLD)[string] | undefined {
  if (!(thrown instanceof Error)) return undefined
  return toldOf(thrown.cause) ?? TOLD[codeOf(thrown) ?? '']
}

function codeOf(thrown: unknown): string | undefined {
  const code = thrown instanceof Error ? (thrown as { code?: unknown }).code : undefined
  return typeof code === 'string' ? code : undefined
}

import type { ErrorRequestHandler } from 'express'
import type { Logger } from '../log.ts'

/** A request that the admin API refuses. */
export class AdminError extends Error {
  override readonly name = 'AdminError'
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

/** The file with the admin token can't be used. */
export class AdminTokenError extends Error {
  override readonly name = 'AdminTokenError'
  readonly code: 'ADMIN_TOKEN_EXPOSED' | 'ADMIN_TOKEN_INVALID'

  constructor(code: AdminTokenError['code'], message: string) {
    super(message)
    this.code = code
  }
}

/** What is told of a failure: a code for programs, a line for people. */
export interface Failure {
  readonly code: string
  readonly message: string
}

/** Describes any error; only those with a code of ours show their message. */
export function describe(error: unknown): Failure {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
    return { code: error.code, message: error.message }
  }
  return { code: 'INTERNAL', message: 'the node failed; its log says more' }
}

/** The last handler: answers with `{"error": {code, message}}`. */
export function answerErrors(log: Logger): ErrorRequestHandler {
  return (error, request, response, _next) => {
    if (response.headersSent) {
      response.destroy()
      return
    }
    const status = statusOf(error)
    if (status >= 500) log.error({ err: error, path: request.path }, 'an admin request failed')
    const failure = isBodyError(error) ? { code: 'BODY_INVALID', message: error.message } : describe(error)
    response.status(status).json({ error: failure })
  }
}

function statusOf(error: unknown): number {
  if (typeof error !== 'object' || error === null || !('status' in error)) return 500
  return typeof error.status === 'number' && error.status >= 400 && error.status < 600 ? error.status : 500
}

/** What express's body parser throws: http-errors that may be shown. */
function isBodyError(error: unknown): error is Error & { type: string } {
  return error instanceof Error && 'expose' in error && error.expose === true
}

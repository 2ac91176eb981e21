import type { RequestHandler } from 'express'
import { AdminError } from './errors.ts'

/** Answers every method that is not `allowed`. */
export function refuseMethod(allowed: string): RequestHandler {
  return (request, response) => {
    response.set('allow', allowed)
    throw new AdminError(405, 'METHOD_NOT_ALLOWED', `${request.method} can not be asked here, ${allowed} can`)
  }
}

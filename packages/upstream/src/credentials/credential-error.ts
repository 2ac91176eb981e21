import { UpstreamError } from '../errors.ts'

/**
 * That a source gave no credential. The message is made of what the source itself says of its failure, never of what
 * was sent to it or read from a file; there is no cause, since errors of libraries hold requests and answers.
 */
export function unavailable(host: string, message: string): UpstreamError {
  return new UpstreamError('CREDENTIALS_UNAVAILABLE', host, message)
}

/** What a program or service says of itself: one line without control characters, cut. */
export function plainLine(text: string, maxLength = 200): string {
  const line = text
    .trim()
    .split(/\r?\n/, 1)
    .join('')
    .replace(/\p{Cc}/gu, ' ')
  return line.length > maxLength ? `${line.slice(0, maxLength)}…` : line
}

/** The reason of a failure to read a file or to start a program, such as `ENOENT`. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'it failed'
}

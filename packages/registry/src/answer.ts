import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { errorBody, type OciError } from '@layermesh/oci'

const RETRY_AFTER_MS = 5_000

/** Answers without a body. */
export function sendEmpty(response: ServerResponse, status: number, headers: OutgoingHttpHeaders = {}): void {
  response.writeHead(status, status === 204 || status === 304 ? headers : { ...headers, 'Content-Length': 0 })
  response.end()
}

/** Answers with bytes as they are; of a HEAD request only their length is told. */
export function sendBytes(
  response: ServerResponse,
  status: number,
  headers: OutgoingHttpHeaders,
  body: Uint8Array | string
): void {
  response.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(body) })
  response.end(body)
}

/** Answers with JSON; the type has no charset, which clients that compare it exactly would trip over. */
export function sendJson(response: ServerResponse, value: unknown, headers: OutgoingHttpHeaders = {}): void {
  sendBytes(response, 200, { 'Content-Type': 'application/json', ...headers }, JSON.stringify(value))
}

/** Answers with an error (distribution-spec §Error Codes). Headers that were set before stay. */
export function sendError(response: ServerResponse, error: OciError, headers: OutgoingHttpHeaders = {}): void {
  const retry = error.status === 429 ? { 'Retry-After': retryAfterSeconds(error) } : {}
  sendBytes(response, error.status, { 'Content-Type': 'application/json', ...retry, ...headers }, errorBody(error))
}

/** How long the client should wait, by what the error says as `retryAfterMs` or else by the usual time. */
function retryAfterSeconds(error: OciError): number {
  const ms = 'retryAfterMs' in error ? Number(error.retryAfterMs) : RETRY_AFTER_MS
  return Math.max(1, Math.ceil(ms / 1000))
}

import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import type { Digest } from '@layermesh/oci'

/** Headers of content that its digest names and that therefore never changes. */
export function contentHeaders(digest: Digest): OutgoingHttpHeaders {
  return {
    'Docker-Content-Digest': digest,
    ETag: `"${digest}"`,
    'Cache-Control': 'max-age=31536000'
  }
}

/** Tells whether the client holds this content already and asks for it only if it is another (`If-None-Match`). */
export function isHeldByClient(request: IncomingMessage, digest: Digest): boolean {
  const held = request.headers['if-none-match']
  if (held === undefined) return false
  return held.split(',').some((tag) => tag.trim().replace(/^W\//, '') === `"${digest}"` || tag.trim() === '*')
}

import type { OutgoingHttpHeaders } from 'node:http'
import { type Digest, OciError, parseRangeHeader } from '@layermesh/oci'
import { sendEmpty } from '../answer.ts'
import type { RepositoryExchange, Services } from '../exchange.ts'
import { streamBody } from '../stream-body.ts'
import { contentHeaders, isHeldByClient } from './content-headers.ts'

const TYPE = 'application/octet-stream'

/** HEAD /v2/NAME/blobs/DIGEST */
export async function headBlob(services: Services, exchange: RepositoryExchange, digest: Digest): Promise<void> {
  const size = await services.backend.blobs.stat(exchange.repository, digest, exchange.signal)
  if (size === undefined) throw unknownBlob(digest)
  if (isHeldByClient(exchange.request, digest)) return sendEmpty(exchange.response, 304, contentHeaders(digest))
  exchange.response.writeHead(200, blobHeaders(digest, size))
  exchange.response.end()
}

/** GET /v2/NAME/blobs/DIGEST, the whole or one range of it (distribution-spec §Pulling blobs). */
export async function getBlob(services: Services, exchange: RepositoryExchange, digest: Digest): Promise<void> {
  const { request, response, repository, signal } = exchange
  if (isHeldByClient(request, digest)) return headBlob(services, exchange, digest)
  const blob = await services.backend.blobs.open(repository, digest, signal)
  if (blob === undefined) throw unknownBlob(digest)
  const asked = parseRangeHeader(rangeHeader(exchange, digest), blob.size)
  if (asked.kind === 'unsatisfiable') {
    response.setHeader('Content-Range', `bytes */${blob.size}`)
    throw new OciError('RANGE_INVALID', `the blob has ${blob.size} bytes`)
  }
  const range = asked.kind === 'part' ? asked.range : { start: 0, end: blob.size }
  const length = range.end - range.start
  const part = { 'Content-Range': `bytes ${range.start}-${range.end - 1}/${blob.size}` }
  let sent = 0
  try {
    await streamBody(response, length === 0 ? nothing() : blob.read(range, signal), {
      writeHead: () => {
        if (asked.kind === 'part') response.writeHead(206, { ...blobHeaders(digest, length), ...part })
        else response.writeHead(200, blobHeaders(digest, length))
      },
      length,
      stalledTimeoutMs: services.options.stalledResponseTimeoutMs,
      slowAnswers: services.slowAnswers,
      signal,
      onBytes: (bytes) => {
        sent += bytes
      }
    })
  } finally {
    if (response.headersSent && response.statusCode < 300) {
      services.events.tell(exchange, {
        action: 'pull',
        target: 'blob',
        repository,
        digest,
        size: blob.size,
        bytes: sent
      })
    }
  }
}

/** DELETE /v2/NAME/blobs/DIGEST */
export async function deleteBlob(services: Services, exchange: RepositoryExchange, digest: Digest): Promise<void> {
  const { repository, response, caller } = exchange
  if (!(await services.backend.blobs.delete(repository, digest, caller))) throw unknownBlob(digest)
  await services.events.record(exchange, { action: 'delete', target: 'blob', repository, digest, bytes: 0 })
  sendEmpty(response, 202)
}

function blobHeaders(digest: Digest, length: number): OutgoingHttpHeaders {
  return { ...contentHeaders(digest), 'Content-Type': TYPE, 'Accept-Ranges': 'bytes', 'Content-Length': length }
}

/** A range is of no use to a client that holds another version (RFC 9110 §13.1.5). */
function rangeHeader({ request }: RepositoryExchange, digest: Digest): string | undefined {
  const version = request.headers['if-range']
  return version === undefined || version === `"${digest}"` ? request.headers.range : undefined
}

function unknownBlob(digest: Digest): OciError {
  return new OciError('BLOB_UNKNOWN', 'the blob can not be had here', { detail: { digest } })
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

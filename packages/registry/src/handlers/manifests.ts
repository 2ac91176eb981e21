import {
  type Digest,
  digestAlgorithm,
  digestOf,
  MAX_MANIFEST_BYTES,
  OciError,
  parseManifest,
  parseTag,
  type Tag
} from '@layermesh/oci'
import { sendBytes, sendEmpty } from '../answer.ts'
import { StatusError } from '../errors.ts'
import { locate, type RepositoryExchange, type Services } from '../exchange.ts'
import type { StoredManifest } from '../interfaces.ts'
import { RequestBody } from '../request-body.ts'
import type { Reference } from '../route.ts'
import { contentHeaders, isHeldByClient } from './content-headers.ts'

/**
 * GET and HEAD /v2/NAME/manifests/REFERENCE (distribution-spec §Pulling manifests). What is stored is sent as it is,
 * whatever the client says it accepts: another form would have another digest, and no signature would fit it.
 */
export async function getManifest(
  services: Services,
  exchange: RepositoryExchange,
  reference: Reference
): Promise<void> {
  const { request, response, repository, signal } = exchange
  const resolved = await resolve(services, exchange, reference)
  const manifest = resolved && (await services.backend.manifests.get(repository, resolved.digest, signal))
  if (manifest === undefined) throw unknownManifest(reference)
  signal.throwIfAborted()
  if (resolved?.warning !== undefined) response.setHeader('Warning', warningHeader(resolved.warning))
  const { digest } = manifest
  const { 'Cache-Control': forever, ...always } = contentHeaders(digest)
  const headers = reference.digest === undefined ? always : { ...always, 'Cache-Control': forever }
  if (isHeldByClient(request, digest)) return sendEmpty(response, 304, headers)
  sendBytes(response, 200, { ...headers, 'Content-Type': manifest.mediaType }, manifest.bytes)
  if (request.method === 'HEAD') return
  const { tag } = reference
  services.events.tell(exchange, {
    action: 'pull',
    target: 'manifest',
    repository,
    digest,
    ...(tag === undefined ? {} : { tag }),
    ...described(manifest),
    bytes: manifest.bytes.byteLength
  })
}

/** PUT /v2/NAME/manifests/REFERENCE (distribution-spec §Pushing Manifests), by digest also with `?tag=` for each tag. */
export async function putManifest(
  services: Services,
  exchange: RepositoryExchange,
  reference: Reference
): Promise<void> {
  const { request, response, repository, caller, signal } = exchange
  const tags = reference.tag === undefined ? tagParameters(services, exchange) : [reference.tag]
  const bytes = await receiveManifest(services, exchange)
  const manifest = parseManifest(bytes, request.headers['content-type'])
  const digest = digestOf(bytes, reference.digest === undefined ? 'sha256' : digestAlgorithm(reference.digest))
  if (reference.digest !== undefined && reference.digest !== digest) {
    throw new OciError('DIGEST_INVALID', 'the manifest has another digest', {
      detail: { told: reference.digest, found: digest }
    })
  }
  const stored = { digest, mediaType: manifest.mediaType, bytes }
  await services.backend.manifests.put(repository, stored, tags, caller, signal)
  const pushed = { action: 'push', target: 'manifest', repository, digest, ...described(stored) } as const
  const [first, ...others] = tags
  await services.events.record(
    exchange,
    { ...pushed, ...(first === undefined ? {} : { tag: first }), bytes: bytes.byteLength },
    ...others.map((tag) => ({ ...pushed, tag, bytes: 0 }))
  )
  sendEmpty(response, 201, {
    Location: locate(exchange, `manifests/${digest}`),
    'Docker-Content-Digest': digest,
    ...(manifest.subject === undefined ? {} : { 'OCI-Subject': manifest.subject.digest }),
    ...(reference.digest === undefined || tags.length === 0 ? {} : { 'OCI-Tag': tags })
  })
}

/** DELETE /v2/NAME/manifests/REFERENCE: a tag alone, or a manifest with all tags that mean it. */
export async function deleteManifest(
  services: Services,
  exchange: RepositoryExchange,
  reference: Reference
): Promise<void> {
  const { repository, response, caller, signal } = exchange
  const { manifests, tags } = services.backend
  const { tag, digest } = reference
  const existed =
    tag === undefined
      ? await manifests.delete(repository, digest, caller, signal)
      : await tags.delete(repository, tag, caller, signal)
  if (!existed) throw unknownManifest(reference)
  const deleted = tag === undefined ? ({ target: 'manifest', digest } as const) : ({ target: 'tag', tag } as const)
  await services.events.record(exchange, { action: 'delete', repository, ...deleted, bytes: 0 })
  sendEmpty(response, 202)
}

async function resolve(
  { backend }: Services,
  { repository, signal }: RepositoryExchange,
  reference: Reference
): Promise<{ digest: Digest; warning?: string } | undefined> {
  return reference.tag === undefined ? reference : backend.tags.resolve(repository, reference.tag, signal)
}

async function receiveManifest(services: Services, exchange: RepositoryExchange): Promise<Uint8Array> {
  const leave = services.manifestBodies.enter()
  try {
    return await new RequestBody(exchange, services.options.bodyIdleTimeoutMs).whole(MAX_MANIFEST_BYTES)
  } finally {
    leave()
  }
}

function tagParameters({ options }: Services, { query }: RepositoryExchange): Tag[] {
  const tags = [...new Set(query.all('tag'))].map(parseTag)
  if (tags.length <= options.maxTagParams) return tags
  throw new StatusError(414, 'TAG_INVALID', `a manifest is pushed with ${options.maxTagParams} tags at most`)
}

const MAX_WARNING_LENGTH = 1024

/** Distribution-spec §Warnings: code 299, no agent, a quoted text. */
function warningHeader(text: string): string {
  const plain = text.slice(0, MAX_WARNING_LENGTH).replace(/[^\x20-\x7e]/g, '?')
  return `299 - "${plain.replace(/["\\]/g, '\\$&')}"`
}

/** What an event tells of a manifest. */
function described({ mediaType, bytes }: StoredManifest): { mediaType: string; size: number } {
  return { mediaType, size: bytes.byteLength }
}

function unknownManifest({ tag, digest }: Reference): OciError {
  return new OciError('MANIFEST_UNKNOWN', 'the manifest can not be had here', { detail: { reference: tag ?? digest } })
}

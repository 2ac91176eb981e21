import { type Digest, isOciError, OciError, parseDigest, parseUploadRange, type Repository } from '@layermesh/oci'
import { addressRepository } from '../addressing.ts'
import { sendEmpty } from '../answer.ts'
import { locate, type RepositoryExchange, type Services } from '../exchange.ts'
import type { UploadSession } from '../interfaces.ts'
import { contentLength, hasBody, RequestBody } from '../request-body.ts'

/**
 * POST /v2/NAME/blobs/uploads/: mounts a blob of another repository, takes a whole blob at once, or starts a session
 * (distribution-spec §Pushing blobs, §Mounting a blob from another repository).
 */
export async function startUpload(services: Services, exchange: RepositoryExchange): Promise<void> {
  const { query, repository } = exchange
  checkAlgorithm(query.get('digest-algorithm'))
  const mount = query.get('mount')
  if (mount !== undefined && (await mountBlob(services, exchange, parseDigest(mount)))) return
  const digest = query.get('digest')
  const wanted = mount === undefined && digest !== undefined ? parseDigest(digest) : undefined
  const session = await services.backend.uploads.create(repository)
  if (wanted === undefined) return sendProgress(services, exchange, session, 202)
  try {
    await finish(services, exchange, session, wanted)
  } catch (error) {
    await cancelQuietly(services, session)
    throw error
  }
}

/** PATCH of a session: the next chunk, or a stream of unknown length. */
export async function appendToUpload(services: Services, exchange: RepositoryExchange, id: string): Promise<void> {
  const session = await openSession(services, exchange, id)
  const { bytes } = await append(services, exchange, session)
  sendProgress(services, exchange, session, 202)
  services.events.tell(exchange, { action: 'push', target: 'blob', repository: exchange.repository, bytes })
}

/** PUT of a session: perhaps a last chunk, then the digest of the whole. */
export async function finishUpload(services: Services, exchange: RepositoryExchange, id: string): Promise<void> {
  const session = await openSession(services, exchange, id)
  const digest = exchange.query.get('digest')
  if (digest === undefined) throw new OciError('DIGEST_INVALID', 'the digest of the blob is missing')
  await finish(services, exchange, session, parseDigest(digest))
}

/** GET of a session: how far it is. */
export async function showUpload(services: Services, exchange: RepositoryExchange, id: string): Promise<void> {
  const session = await openSession(services, exchange, id)
  sendProgress(services, exchange, session, 204)
}

/** DELETE of a session. */
export async function cancelUpload(services: Services, exchange: RepositoryExchange, id: string): Promise<void> {
  const session = await openSession(services, exchange, id)
  await session.cancel()
  sendEmpty(exchange.response, 204)
}

/** True when the blob was mounted and the client told so. A source that can't be mounted from is no error: the client pushes. */
async function mountBlob(services: Services, exchange: RepositoryExchange, digest: Digest): Promise<boolean> {
  const { repository, response, caller } = exchange
  const from = mountSource(services, exchange)
  if (from === 'closed' || !(await services.backend.blobs.mount(repository, digest, from, caller))) return false
  const source = from === undefined ? {} : { from }
  await services.events.record(exchange, { action: 'mount', target: 'blob', repository, digest, ...source, bytes: 0 })
  sendEmpty(response, 201, createdHeaders(exchange, digest))
  return true
}

/**
 * Where a blob is mounted from; undefined when any repository will do. What the caller may not pull from is as if it did
 * not exist, and with access control no other repository is searched on its behalf.
 */
function mountSource(
  { options, guard }: Services,
  { query, namespace, caller }: RepositoryExchange
): Repository | undefined | 'closed' {
  const from = query.get('from')
  if (from === undefined) return guard.isOpen ? undefined : 'closed'
  try {
    const source = addressRepository(from, namespace, options.ownHosts)
    return caller.may('pull', source) ? source : 'closed'
  } catch (error) {
    if (isOciError(error)) return 'closed'
    throw error
  }
}

/** The session of that id, if it is this client's. */
async function openSession(services: Services, exchange: RepositoryExchange, id: string): Promise<UploadSession> {
  const { repository, caller } = exchange
  const own = services.uploadIds === undefined ? id : services.uploadIds.fromClient(repository, caller, id)
  const session = own === undefined ? undefined : await services.backend.uploads.get(repository, own)
  if (session !== undefined) return session
  throw new OciError('BLOB_UPLOAD_UNKNOWN', 'there is no such upload; it may have ended or expired', {
    detail: { id }
  })
}

/** Takes the body as far as there is one, and makes a blob of all that the session has. */
async function finish(
  services: Services,
  exchange: RepositoryExchange,
  session: UploadSession,
  digest: Digest
): Promise<void> {
  const { request, response, repository } = exchange
  const ranged = request.headers['content-range'] !== undefined
  const { bytes } = hasBody(request) || ranged ? await append(services, exchange, session) : { bytes: 0 }
  const { size } = await session.commit(digest)
  await services.events.record(exchange, { action: 'push', target: 'blob', repository, digest, size, bytes })
  sendEmpty(response, 201, createdHeaders(exchange, digest))
}

async function append(
  services: Services,
  exchange: RepositoryExchange,
  session: UploadSession
): Promise<{ bytes: number }> {
  const chunk = readChunk(services, exchange, session)
  const body = new RequestBody(exchange, services.options.bodyIdleTimeoutMs)
  const leave = services.blobBodies.enter()
  try {
    await session.append(body, { ...chunk, signal: exchange.signal })
    return { bytes: body.bytes }
  } catch (error) {
    if (isOciError(error, 'RANGE_INVALID')) setProgressHeaders(services, exchange, session)
    throw error
  } finally {
    leave()
  }
}

/** Where the body has to go and how long it has to be, if the client tells. */
function readChunk(
  services: Services,
  exchange: RepositoryExchange,
  session: UploadSession
): { start?: number; length?: number } {
  const header = exchange.request.headers['content-range']
  if (header === undefined) return {}
  try {
    const { start, end } = parseUploadRange(header)
    const length = contentLength(exchange.request)
    if (length === undefined || length === end - start) return { start, length: end - start }
    throw new OciError('SIZE_INVALID', `the chunk tells of ${end - start} bytes but has ${length}`)
  } catch (error) {
    if (isOciError(error, 'RANGE_INVALID')) setProgressHeaders(services, exchange, session)
    throw error
  }
}

function sendProgress(
  services: Services,
  exchange: RepositoryExchange,
  session: UploadSession,
  status: 202 | 204
): void {
  setProgressHeaders(services, exchange, session)
  sendEmpty(exchange.response, status)
}

/** With nothing received the range is `0-0` too: it must end in a number, and there is no other way to write it. */
function setProgressHeaders(services: Services, exchange: RepositoryExchange, { id, offset }: UploadSession): void {
  const { repository, caller, response } = exchange
  const told = services.uploadIds?.toClient(repository, caller, id) ?? id
  response.setHeader('Location', locate(exchange, `blobs/uploads/${told}`))
  response.setHeader('Range', `0-${Math.max(0, offset - 1)}`)
  response.setHeader('Docker-Upload-UUID', told)
}

function createdHeaders(exchange: RepositoryExchange, digest: Digest): Record<string, string> {
  return { Location: locate(exchange, `blobs/${digest}`), 'Docker-Content-Digest': digest }
}

const KNOWN_ALGORITHMS: ReadonlySet<string> = new Set(['sha256', 'sha512'])

/** Every upload is ready for both algorithms; naming another is refused before any byte is sent in vain. */
function checkAlgorithm(algorithm: string | undefined): void {
  if (algorithm === undefined || KNOWN_ALGORITHMS.has(algorithm)) return
  throw new OciError('DIGEST_INVALID', 'digests are sha256 or sha512')
}

async function cancelQuietly({ log }: Services, session: UploadSession): Promise<void> {
  try {
    await session.cancel()
  } catch (error) {
    log.debug({ upload: session.id, err: error }, 'an upload that failed could not be cancelled')
  }
}

import { type Digest, isOciError, OciError, type Repository, type Tag } from '@layermesh/oci'
import PQueue from 'p-queue'
import { MeshError } from '../errors.ts'
import type {
  AuthenticateRequest,
  DeleteRequest,
  ListAnswer,
  ListPage,
  PushRequest,
  TagAnswer,
  TagClient,
  TagHandler
} from '../interfaces.ts'
import { LIMITS, PROTOCOL } from '../limits.ts'
import type { MeshHost } from '../network/host.ts'
import { PeerRate } from '../network/peer-rate.ts'
import { call, type ServeOptions, serve } from '../network/rpc.ts'
import { encodeFailure } from '../wire/failures.ts'
import {
  decodeDeleteAnswer,
  decodeListAnswer,
  decodePushAnswer,
  decodeReferrersAnswer,
  decodeTagAnswer,
  decodeTagRequest,
  decodeTokenAnswer,
  encodeDeleteAnswer,
  encodeListAnswer,
  encodePushAnswer,
  encodeReferrersAnswer,
  encodeTagAnswer,
  encodeTagRequest,
  encodeTokenAnswer,
  type TagRequest
} from './messages.ts'

const ANNOUNCE_CONCURRENCY = 16
const ANNOUNCE_QUEUE = 4_096

/**
 * Well below what a peer lets pass (see {@link serveTags}): whatever clients ask of this node, it is not taken for one
 * that floods.
 */
const OWN_RATE = Object.freeze({ perSecond: LIMITS.tagPerSecond, burst: LIMITS.tagBurst / 2 })

/** Asks peers about tags. What would be too much for one is not asked: it counts as not to be reached. */
export class TagProtocolClient implements TagClient {
  readonly #host: MeshHost
  readonly #rate = new PeerRate(OWN_RATE, () => performance.now())
  readonly #announcing = new PQueue({ concurrency: ANNOUNCE_CONCURRENCY })
  readonly #stopped = new AbortController()

  constructor(host: MeshHost) {
    this.#host = host
  }

  async resolve(peerId: string, repository: Repository, tag: Tag, signal: AbortSignal): Promise<TagAnswer> {
    return decodeTagAnswer(await this.ask(peerId, { op: 'resolve', repository, tag }, signal))
  }

  async listTags(peerId: string, repository: Repository, page: ListPage, signal: AbortSignal): Promise<ListAnswer> {
    return decodeListAnswer(await this.ask(peerId, { op: 'list-tags', repository, page }, signal))
  }

  async listRepositories(peerId: string, page: ListPage, signal: AbortSignal): Promise<ListAnswer> {
    return decodeListAnswer(await this.ask(peerId, { op: 'list-repositories', page }, signal))
  }

  async listReferrers(
    peerId: string,
    repository: Repository,
    subject: Digest,
    signal: AbortSignal
  ): Promise<{ descriptors: Uint8Array; authoritative: boolean }> {
    return decodeReferrersAnswer(await this.ask(peerId, { op: 'list-referrers', repository, subject }, signal))
  }

  async push(peerId: string, push: PushRequest, signal: AbortSignal): Promise<readonly Uint8Array[]> {
    return decodePushAnswer(await this.ask(peerId, { op: 'push', push }, signal, LIMITS.pushDeadlineMs))
  }

  async delete(peerId: string, target: DeleteRequest, signal: AbortSignal): Promise<boolean> {
    return decodeDeleteAnswer(await this.ask(peerId, { op: 'delete', target }, signal))
  }

  async authenticate(peerId: string, request: AuthenticateRequest, signal: AbortSignal): Promise<string> {
    return decodeTokenAnswer(
      await this.ask(peerId, { op: 'authenticate', request }, signal, LIMITS.authenticateDeadlineMs)
    )
  }

  async complete(peerId: string, repository: Repository, digest: Digest, signal: AbortSignal): Promise<void> {
    decodeDeleteAnswer(await this.ask(peerId, { op: 'complete', repository, digest }, signal))
  }

  announce(envelope: Uint8Array): void {
    for (const peer of this.#host.getPeers()) {
      if (this.#announcing.size >= ANNOUNCE_QUEUE) return
      // A peer that misses it asks the seed when the record it has is too old.
      this.#announcing
        .add(() => this.ask(peer.toString(), { op: 'offer', envelope }, this.#stopped.signal))
        .catch(() => {})
    }
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    this.#announcing.clear()
    await this.#announcing.onIdle()
  }

  private async ask(
    peerId: string,
    request: TagRequest,
    signal: AbortSignal,
    deadlineMs: number = LIMITS.rpcDeadlineMs
  ): Promise<Uint8Array> {
    if (!this.#rate.allows(peerId)) {
      throw new MeshError('PEER_UNREACHABLE', 'this node asks the peer too much about tags', { peerId })
    }
    return await call(this.#host, peerId, encodeTagRequest(request), { protocol: PROTOCOL.tag, deadlineMs, signal })
  }
}

/** Answers peers that ask about tags. */
export async function serveTags(
  host: MeshHost,
  handler: TagHandler,
  events: Pick<ServeOptions, 'onFailure' | 'onFlood' | 'onMalformed'>
): Promise<void> {
  const authentications = new PeerRate(
    { perSecond: LIMITS.authenticatePerSecond, burst: LIMITS.authenticateBurst },
    () => performance.now()
  )
  const answer = async (peerId: string, bytes: Uint8Array, signal: AbortSignal): Promise<Uint8Array> => {
    const request = readRequest(bytes)
    if (request === undefined) return encodeFailure(new OciError('UNSUPPORTED', 'this node knows no such operation'))
    if (request.op === 'authenticate' && !authentications.allows(peerId)) {
      return encodeFailure(new OciError('TOOMANYREQUESTS', 'this node asks for too many tokens; try again in a while'))
    }
    return await answerRequest(handler, peerId, request, signal).catch(encodeFailure)
  }
  const rate = { perSecond: LIMITS.tagPerSecond, burst: LIMITS.tagBurst }
  await serve(host, PROTOCOL.tag, answer, { deadlineMs: LIMITS.pushDeadlineMs, rate, ...events })
}

/** Undefined for an operation of a version to come, which is no misbehaviour. @throws {MeshError} PEER_MISBEHAVED */
function readRequest(bytes: Uint8Array): TagRequest | undefined {
  try {
    return decodeTagRequest(bytes)
  } catch (error) {
    if (isOciError(error, 'UNSUPPORTED')) return undefined
    throw error
  }
}

async function answerRequest(
  handler: TagHandler,
  peerId: string,
  request: TagRequest,
  signal: AbortSignal
): Promise<Uint8Array> {
  switch (request.op) {
    case 'resolve':
      return encodeTagAnswer(await handler.resolve(peerId, request.repository, request.tag, signal))
    case 'offer':
      await handler.offer(request.envelope, peerId)
      return encodeDeleteAnswer(false)
    case 'list-tags':
      return encodeListAnswer(await handler.listTags(peerId, request.repository, request.page, signal))
    case 'list-repositories':
      return encodeListAnswer(await handler.listRepositories(request.page, signal))
    case 'list-referrers':
      return encodeReferrersAnswer(await handler.listReferrers(request.repository, request.subject, signal))
    case 'push':
      return encodePushAnswer(await handler.push(peerId, request.push, signal))
    case 'delete':
      return encodeDeleteAnswer(await handler.delete(peerId, request.target, signal))
    case 'authenticate':
      return encodeTokenAnswer(await handler.authenticate(peerId, request.request, signal))
    case 'complete':
      await handler.complete(peerId, request.repository, request.digest)
      return encodeDeleteAnswer(false)
  }
}

import { isOciError } from '@layermesh/oci'
import type { PrefetchClient, PrefetchHandler, PrefetchReport, PrefetchRequest } from '../interfaces.ts'
import { LIMITS, PROTOCOL } from '../limits.ts'
import type { MeshHost } from '../network/host.ts'
import { type Conversation, call, converse, type ServeOptions, serveConversations } from '../network/rpc.ts'
import { encodeFailure } from '../wire/failures.ts'
import {
  decodeMembers,
  decodePrefetchMessage,
  decodeReport,
  encodeMembers,
  encodePrefetchMessage,
  encodeReport,
  type KnownMember,
  type PrefetchMessage
} from './messages.ts'

/** The asking side of the prefetch protocol (PROTOCOL.md §Prefetch). */
export class PrefetchProtocolClient implements PrefetchClient {
  readonly #host: MeshHost

  constructor(host: MeshHost) {
    this.#host = host
  }

  fetch(peerId: string, request: PrefetchRequest, signal: AbortSignal): AsyncIterable<PrefetchReport> {
    return converse(this.#host, peerId, encodePrefetchMessage({ op: 'fetch', request }), {
      protocol: PROTOCOL.prefetch,
      deadlineMs: LIMITS.prefetchDialDeadlineMs,
      silenceMs: LIMITS.prefetchSilenceMs,
      signal,
      read: decodeReport,
      isLast: ({ state }) => state === 'done'
    })
  }

  /** Whom a peer is connected to. @throws {MeshError}; {OciError} what the peer answered */
  async members(peerId: string, signal: AbortSignal): Promise<KnownMember[]> {
    const options = { protocol: PROTOCOL.prefetch, deadlineMs: LIMITS.rpcDeadlineMs, signal }
    return decodeMembers(await call(this.#host, peerId, encodePrefetchMessage({ op: 'members' }), options))
  }
}

export interface ServePrefetchComponents {
  readonly host: MeshHost
  readonly handler: PrefetchHandler
  /** The peers that this node is connected to. */
  members(): Promise<readonly KnownMember[]>
}

/** Answers peers that have this node fetch an image, or want to know whom it is connected to. */
export async function servePrefetch(
  { host, handler, members }: ServePrefetchComponents,
  events: Pick<ServeOptions, 'onFailure' | 'onFlood' | 'onMalformed'>
): Promise<void> {
  const answer = async (peerId: string, messages: Conversation, signal: AbortSignal): Promise<void> => {
    const request = readMessage(await messages.read())
    if (request instanceof Uint8Array) return await messages.write(request)
    if (request.op === 'members') return await messages.write(encodeMembers(await members()))
    try {
      for await (const report of handler.fetch(peerId, request.request, signal)) {
        await messages.write(encodeReport(report))
      }
    } catch (error) {
      if (!signal.aborted) await messages.write(encodeFailure(error))
      if (!isOciError(error)) throw error
    }
  }
  const rate = { perSecond: LIMITS.prefetchPerSecond, burst: LIMITS.prefetchBurst }
  const options = { deadlineMs: LIMITS.prefetchDeadlineMs, rate, ...events }
  await serveConversations(host, PROTOCOL.prefetch, answer, options)
}

/** What is asked for, or the answer to what this version does not know, which is no misbehaviour. @throws {MeshError} PEER_MISBEHAVED */
function readMessage(bytes: Uint8Array): PrefetchMessage | Uint8Array {
  try {
    return decodePrefetchMessage(bytes)
  } catch (error) {
    if (isOciError(error, 'UNSUPPORTED')) return encodeFailure(error)
    throw error
  }
}

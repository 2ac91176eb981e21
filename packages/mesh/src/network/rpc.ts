import { isOciError } from '@layermesh/oci'
import type { Connection, Libp2p, PeerId, Stream } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { lpStream } from '@libp2p/utils'
import { MeshError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { PeerRate } from './peer-rate.ts'

/**
 * One request and one answer on a stream of its own, each a message with its length in front (varint, as libp2p's own
 * protocols have it). For small messages: payload goes over the blob protocol.
 */
export interface RpcOptions {
  readonly protocol: string
  readonly deadlineMs: number
  readonly signal: AbortSignal
}

/** @throws {MeshError} PEER_UNREACHABLE, PEER_MISBEHAVED (too long an answer), DEADLINE */
export async function call(
  host: Libp2p,
  peerId: string,
  request: Uint8Array,
  options: RpcOptions
): Promise<Uint8Array> {
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(options.deadlineMs)])
  let stream: Stream | undefined
  try {
    stream = await host.dialProtocol(parsePeerId(peerId), options.protocol, { signal })
    const messages = lpStream(stream, { maxDataLength: LIMITS.rpcMessageBytes })
    await messages.write(request, { signal })
    const answer = await messages.read({ signal })
    stream.close({ signal: AbortSignal.timeout(options.deadlineMs) }).catch(() => {})
    return answer.subarray()
  } catch (cause) {
    const error = toMeshError(cause, peerId, options)
    stream?.abort(error)
    throw error
  }
}

export interface ConverseOptions<T> extends RpcOptions {
  /** The peer has so long for each message. */
  readonly silenceMs: number
  read(message: Uint8Array): T
  isLast(message: T): boolean
}

/**
 * Sends one request and yields the messages that follow up to the last; `deadlineMs` is for getting through to the peer.
 * A caller that leaves before ends the work of the peer.
 * @throws {MeshError} as {@link call}, and UNSUPPORTED; what `read` throws
 */
export async function* converse<T>(
  host: Libp2p,
  peerId: string,
  request: Uint8Array,
  options: ConverseOptions<T>
): AsyncGenerator<T, void, undefined> {
  const opening = AbortSignal.any([options.signal, AbortSignal.timeout(options.deadlineMs)])
  let stream: Stream | undefined
  let isDone = false
  try {
    stream = await host.dialProtocol(parsePeerId(peerId), options.protocol, { signal: opening })
    const messages = lpStream(stream, { maxDataLength: LIMITS.rpcMessageBytes })
    await messages.write(request, { signal: opening })
    while (!isDone) {
      const signal = AbortSignal.any([options.signal, AbortSignal.timeout(options.silenceMs)])
      const message = options.read((await messages.read({ signal })).subarray())
      isDone = options.isLast(message)
      yield message
    }
  } catch (cause) {
    throw isOciError(cause) ? cause : toMeshError(cause, peerId, options)
  } finally {
    if (isDone) stream?.close({ signal: AbortSignal.timeout(options.deadlineMs) }).catch(() => {})
    else stream?.abort(new MeshError('DEADLINE', 'nobody waits any longer', { peerId }))
  }
}

/** The messages of one stream, each with its length in front. */
export interface Conversation {
  read(): Promise<Uint8Array>
  write(message: Uint8Array): Promise<void>
}

export interface ServeOptions {
  readonly deadlineMs: number
  /** Requests that one peer may send: so many at once, then so many per second. */
  readonly rate: { readonly perSecond: number; readonly burst: number }
  readonly onFailure: (peerId: string, error: unknown) => void
  /** A peer sends twice what it may, and goes on. */
  readonly onFlood: (peerId: string) => void
  /** A peer sent what no node of any version sends. */
  readonly onMalformed: (peerId: string) => void
}

/** Answers requests on `protocol`; one that is malformed, late or one too many gets its stream reset. */
export async function serve(
  host: Libp2p,
  protocol: string,
  answer: (peerId: string, request: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>,
  options: ServeOptions
): Promise<void> {
  const converse = async (peerId: string, messages: Conversation, signal: AbortSignal): Promise<void> =>
    await messages.write(await answer(peerId, await messages.read(), signal))
  await serveConversations(host, protocol, converse, options)
}

/** The same where more than one message follows the request. */
export async function serveConversations(
  host: Libp2p,
  protocol: string,
  converse: (peerId: string, messages: Conversation, signal: AbortSignal) => Promise<void>,
  options: ServeOptions
): Promise<void> {
  const now = () => performance.now()
  const answered = new PeerRate(options.rate, now)
  const refused = new PeerRate(options.rate, now)
  const handler = async (stream: Stream, connection: Connection): Promise<void> => {
    const peerId = connection.remotePeer.toString()
    if (!answered.allows(peerId)) {
      stream.abort(new MeshError('PEER_MISBEHAVED', 'too many requests', { peerId }))
      if (!refused.allows(peerId)) options.onFlood(peerId)
      return
    }
    const gone = new AbortController()
    stream.addEventListener('close', () =>
      gone.abort(new MeshError('PEER_UNREACHABLE', 'the peer closed the stream', { peerId }))
    )
    const signal = AbortSignal.any([gone.signal, AbortSignal.timeout(options.deadlineMs)])
    try {
      const messages = lpStream(stream, { maxDataLength: LIMITS.rpcMessageBytes })
      const read = async () => {
        const inTime = AbortSignal.any([signal, AbortSignal.timeout(LIMITS.rpcDeadlineMs)])
        return (await messages.read({ signal: inTime })).subarray()
      }
      await converse(peerId, { read, write: (message) => messages.write(message, { signal }) }, signal)
      await stream.close({ signal: AbortSignal.timeout(LIMITS.rpcDeadlineMs) })
    } catch (error) {
      stream.abort(error instanceof Error ? error : new Error('request failed'))
      if (isMalformed(error)) options.onMalformed(peerId)
      options.onFailure(peerId, error)
    }
  }
  await host.handle(protocol, handler, { maxInboundStreams: LIMITS.inboundStreamsPerPeer })
}

/** @throws {MeshError} ADDRESS_INVALID */
export function parsePeerId(text: string): PeerId {
  try {
    return peerIdFromString(text)
  } catch (cause) {
    throw new MeshError('ADDRESS_INVALID', `${text.slice(0, 100)} is no peer id`, { cause })
  }
}

/** What libp2p says of a message that is longer than it may be. */
const TOO_LONG: ReadonlySet<string> = new Set(['InvalidDataLengthError', 'InvalidDataLengthLengthError'])

function isMalformed(error: unknown): boolean {
  if (error instanceof MeshError) return error.code === 'PEER_MISBEHAVED'
  return error instanceof Error && TOO_LONG.has(error.name)
}

function toMeshError(cause: unknown, peerId: string, options: RpcOptions): MeshError {
  if (cause instanceof MeshError) return cause
  const name = cause instanceof Error ? cause.name : ''
  if (options.signal.aborted) return new MeshError('DEADLINE', 'the caller stopped waiting', { peerId, cause })
  if (name === 'TimeoutError' || name === 'AbortError') {
    return new MeshError('DEADLINE', 'no answer in time', { peerId, cause })
  }
  if (TOO_LONG.has(name)) {
    return new MeshError('PEER_MISBEHAVED', 'the answer is too long', { peerId, cause })
  }
  if (name === 'UnsupportedProtocolError') {
    return new MeshError('UNSUPPORTED', 'the peer can not do this: its program is another version', { peerId, cause })
  }
  return new MeshError('PEER_UNREACHABLE', 'the peer can not be reached', { peerId, cause })
}

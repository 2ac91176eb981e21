import type { Stream } from '@libp2p/interface'
import { pEvent } from 'p-event'
import { Uint8ArrayList } from 'uint8arraylist'
import { MeshError } from '../errors.ts'
import { LIMITS } from '../limits.ts'

/**
 * Sends bytes and waits until the stream takes more. `stream.onDrain()` must not be used for this: in @libp2p/utils 7
 * its promise is never renewed, so after the first drain it holds nobody back.
 *
 * @throws {MeshError} PEER_UNREACHABLE when the stream ended, DEADLINE when the peer takes nothing
 */
export async function send(stream: Stream, parts: readonly Uint8Array[], signal: AbortSignal): Promise<void> {
  if (!isWritable(stream)) throw new MeshError('PEER_UNREACHABLE', `the stream is ${stream.status}`)
  const [first, ...rest] = parts
  if (first === undefined || stream.send(rest.length === 0 ? first : new Uint8ArrayList(first, ...rest))) return
  try {
    await pEvent(stream, 'drain', {
      rejectionEvents: ['close'],
      signal: AbortSignal.any([signal, AbortSignal.timeout(LIMITS.sendStallMs)])
    })
  } catch (cause) {
    if (stream.status !== 'open') throw new MeshError('PEER_UNREACHABLE', 'the stream ended', { cause })
    throw new MeshError('DEADLINE', `the peer took nothing for ${LIMITS.sendStallMs} ms`, { cause })
  }
}

/** Whether a stream takes bytes; sending on another throws, in the middle of whoever told that it ended. */
export function isWritable(stream: Stream): boolean {
  return stream.status === 'open' && stream.writeStatus === 'writable'
}

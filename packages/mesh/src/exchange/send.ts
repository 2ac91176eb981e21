import type { Stream } from '@libp2p/interface'
import { pEvent } from 'p-event'
import { Uint8ArrayList } from 'uint8arraylist'
import { MeshError } from '../errors.ts'
import { LIMITS } from '../limits.ts'

/**
 * Sends bytes and waits until the stream has taken them and takes more. Two things of @libp2p/utils 7 must not be
 * trusted for this. `stream.onDrain()` holds nobody back after the first time. The event `drain` also comes while the
 * stream still holds most of what it was given, so who goes on at each one fills its buffer until that ends it.
 *
 * @throws {MeshError} PEER_UNREACHABLE when the stream ended, DEADLINE when the peer takes nothing
 */
export async function send(stream: Stream, parts: readonly Uint8Array[], signal: AbortSignal): Promise<void> {
  if (!isWritable(stream)) throw new MeshError('PEER_UNREACHABLE', `the stream is ${stream.status}`)
  const [first, ...rest] = parts
  if (first === undefined || stream.send(rest.length === 0 ? first : new Uint8ArrayList(first, ...rest))) return
  try {
    do {
      await pEvent(stream, ['drain', 'idle'], {
        rejectionEvents: ['close'],
        signal: AbortSignal.any([signal, AbortSignal.timeout(LIMITS.sendStallMs)])
      })
    } while (stream.status === 'open' && (stream.writeBufferLength > 0 || stream.writableNeedsDrain))
    // An aborted stream is idle too: it has thrown away what it held.
    if (stream.status !== 'open') throw new Error(`the stream is ${stream.status}`)
  } catch (cause) {
    if (stream.status !== 'open') throw new MeshError('PEER_UNREACHABLE', 'the stream ended', { cause })
    throw new MeshError('DEADLINE', `the peer took nothing for ${LIMITS.sendStallMs} ms`, { cause })
  }
}

/** Whether a stream takes bytes; sending on another throws, in the middle of whoever told that it ended. */
export function isWritable(stream: Stream): boolean {
  return stream.status === 'open' && stream.writeStatus === 'writable'
}

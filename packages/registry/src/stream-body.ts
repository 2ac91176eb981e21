import type { ServerResponse } from 'node:http'

/** Why a body that was begun can't be ended as it was promised. */
class BrokenBodyError extends Error {
  override readonly name = 'BrokenBodyError'
  readonly code = 'BROKEN_BODY'
}

/** How {@link streamBody} goes on. */
export interface StreamOptions {
  /** Writes the head; called when the first chunk is here, so that what fails before it can still be told as an error. */
  readonly writeHead: () => void
  /** The promised length, in bytes. */
  readonly length: number
  /** How long the client may take nothing. */
  readonly stalledTimeoutMs: number
  readonly signal: AbortSignal
  /** Told of every chunk that was handed to the connection. */
  readonly onBytes: (bytes: number) => void
}

/**
 * Writes chunks as they come, no faster than the client takes them, and ends the response.
 * @throws {BrokenBodyError} when there is more or less than was promised, or the client takes nothing; whatever
 *   `chunks` throws; the reason of `signal`
 */
export async function streamBody(
  response: ServerResponse,
  chunks: AsyncIterable<Uint8Array>,
  options: StreamOptions
): Promise<void> {
  let left = options.length
  if (left === 0) options.writeHead()
  for await (const chunk of chunks) {
    options.signal.throwIfAborted()
    left -= chunk.byteLength
    if (left < 0) throw new BrokenBodyError('the content is longer than was promised')
    if (!response.headersSent) options.writeHead()
    options.onBytes(chunk.byteLength)
    if (!response.write(chunk)) await happens(response, 'drain', options)
  }
  if (left > 0) throw new BrokenBodyError('the content is shorter than was promised')
  response.end()
  await happens(response, 'finish', options)
}

function happens(response: ServerResponse, event: 'drain' | 'finish', options: StreamOptions): Promise<void> {
  const { signal, stalledTimeoutMs } = options
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      clearTimeout(timer)
      response.off(event, onEvent)
      signal.removeEventListener('abort', onAbort)
      act()
    }
    const onEvent = () => settle(resolve)
    const onAbort = () => settle(() => reject(signal.reason))
    const onStall = () =>
      settle(() => reject(new BrokenBodyError(`the client took nothing for ${stalledTimeoutMs} ms`)))
    const timer = setTimeout(onStall, stalledTimeoutMs)
    response.once(event, onEvent)
    signal.addEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
  })
}

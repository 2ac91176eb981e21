import type { ServerResponse } from 'node:http'
import type { SlowAnswers } from './slow-answers.ts'

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
  /** Ends this answer when too many clients are slow, and this one for the longest. */
  readonly slowAnswers: SlowAnswers
  readonly signal: AbortSignal
  /** Told of every chunk that was handed to the connection. */
  readonly onBytes: (bytes: number) => void
}

/**
 * Writes chunks as they come and ends the response. A chunk is asked for only when the one before it has left for the
 * client, so that its memory may be used again.
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
    await taken(options, (done) => void response.write(chunk, done))
  }
  if (left > 0) throw new BrokenBodyError('the content is shorter than was promised')
  await taken(options, (done) => void response.end(done))
}

/** Waits until the client has taken what `begin` sends. */
function taken(options: StreamOptions, begin: (done: (error?: Error | null) => void) => void): Promise<void> {
  const { signal, stalledTimeoutMs, slowAnswers } = options
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      clearTimeout(timer)
      hasTaken()
      signal.removeEventListener('abort', onAbort)
      act()
    }
    const onAbort = () => settle(() => reject(signal.reason))
    const onStall = () =>
      settle(() => reject(new BrokenBodyError(`the client took nothing for ${stalledTimeoutMs} ms`)))
    const timer = setTimeout(onStall, stalledTimeoutMs)
    const hasTaken = slowAnswers.given(() =>
      settle(() => reject(new BrokenBodyError('too many clients are slow, and this one for the longest')))
    )
    signal.addEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
    else begin((error) => settle(error ? () => reject(error) : resolve))
  })
}

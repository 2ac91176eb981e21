import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Failure } from './errors.ts'

const INTERVAL_MS = 100
const NEWLINE_JSON = 'application/x-ndjson'

/** One line of the answer to what takes long; the last one is `done` or `error`. */
export type StreamEvent<P, R> =
  | { readonly type: 'progress'; readonly progress: P }
  | { readonly type: 'done'; readonly result: R }
  | { readonly type: 'error'; readonly error: Failure }

/** Something that takes long, and tells how far its parts are. */
export interface StreamedWork<P, R> {
  run(onProgress: (progress: P) => void, signal: AbortSignal): Promise<R>
  /** The part that a progress is about: of each part the newest counts. */
  keyOf(progress: P): string
  explain(error: unknown, signal: AbortSignal): Failure
}

/**
 * Answers with one JSON object a line: what changed since the last lines, at most every {@link INTERVAL_MS} and no
 * faster than the client reads; at last `done` or `error`. A client that leaves ends the work, and so does `deadline`.
 */
export async function streamEvents<P, R>(
  response: ServerResponse,
  { run, keyOf, explain }: StreamedWork<P, R>,
  deadline?: AbortSignal
): Promise<void> {
  const left = new AbortController()
  response.once('close', () => left.abort())
  const signal = deadline === undefined ? left.signal : AbortSignal.any([left.signal, deadline])
  const changed = new Map<string, P>()
  const outcome = run((progress) => changed.set(keyOf(progress), progress), signal).then(
    (result): StreamEvent<P, R> => ({ type: 'done', result }),
    (error: unknown): StreamEvent<P, R> => ({ type: 'error', error: explain(error, signal) })
  )
  response.writeHead(200, { 'content-type': NEWLINE_JSON })
  response.flushHeaders()
  let last: StreamEvent<P, R> | undefined
  while (last === undefined && !left.signal.aborted) {
    last = await Promise.race([outcome, sleep(INTERVAL_MS, undefined, { ref: false })])
    const events = [...changed.values()].map((progress): StreamEvent<P, R> => ({ type: 'progress', progress }))
    changed.clear()
    await send(response, last === undefined ? events : [...events, last], left.signal)
  }
  response.end()
}

async function send(response: ServerResponse, events: readonly unknown[], left: AbortSignal): Promise<void> {
  if (events.length === 0 || left.aborted) return
  const text = events.map((event) => `${JSON.stringify(event)}\n`).join('')
  if (!response.write(text)) await once(response, 'drain', { signal: left }).catch(() => {})
}

import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../log.ts'
import { AdminError, describe } from './errors.ts'
import type { PullEvent, PullProgress, PullResult } from './view.ts'

const INTERVAL_MS = 100
const NEWLINE_JSON = 'application/x-ndjson'

export interface PullStreamOptions {
  /** Ends the pull after so long. */
  readonly deadlineMs?: number
}

/**
 * Answers with one JSON object a line: what changed since the last lines, at most every {@link INTERVAL_MS} and no
 * faster than the client reads; at last `done` or `error`. A client that leaves ends the pull.
 */
export async function streamPull(
  response: ServerResponse,
  log: Logger,
  run: (onProgress: (progress: PullProgress) => void, signal: AbortSignal) => Promise<PullResult>,
  { deadlineMs }: PullStreamOptions = {}
): Promise<void> {
  const left = new AbortController()
  response.once('close', () => left.abort())
  const deadline = deadlineMs === undefined ? undefined : AbortSignal.timeout(deadlineMs)
  const signal = deadline === undefined ? left.signal : AbortSignal.any([left.signal, deadline])
  const changed = new Map<string, PullProgress>()
  const outcome = run((progress) => changed.set(progress.digest, progress), signal).then(
    (result): PullEvent => ({ type: 'done', result }),
    (error: unknown): PullEvent => ({ type: 'error', error: explain(error, deadline, log) })
  )
  response.writeHead(200, { 'content-type': NEWLINE_JSON })
  response.flushHeaders()
  let last: PullEvent | undefined
  while (last === undefined && !left.signal.aborted) {
    last = await Promise.race([outcome, sleep(INTERVAL_MS, undefined, { ref: false })])
    const events = [...changed.values()].map((progress): PullEvent => ({ type: 'progress', progress }))
    changed.clear()
    await send(response, last === undefined ? events : [...events, last], left.signal)
  }
  response.end()
}

async function send(response: ServerResponse, events: readonly PullEvent[], left: AbortSignal): Promise<void> {
  if (events.length === 0 || left.aborted) return
  const text = events.map((event) => `${JSON.stringify(event)}\n`).join('')
  if (!response.write(text)) await once(response, 'drain', { signal: left }).catch(() => {})
}

function explain(error: unknown, deadline: AbortSignal | undefined, log: Logger): { code: string; message: string } {
  if (deadline?.aborted) {
    return describe(
      new AdminError(504, 'DEADLINE', 'the image did not come in time; what came is kept, ask again to go on')
    )
  }
  const failure = describe(error)
  if (failure.code === 'INTERNAL') log.error({ err: error }, 'a pull failed')
  return failure
}

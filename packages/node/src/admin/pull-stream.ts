import type { ServerResponse } from 'node:http'
import type { Logger } from '../log.ts'
import { AdminError, describe, type Failure } from './errors.ts'
import { streamEvents } from './event-stream.ts'
import type { PullProgress, PullResult } from './view.ts'

export interface PullStreamOptions {
  /** Ends the pull after so long. */
  readonly deadlineMs?: number
}

/** Answers with how far a pull is, by its parts: see {@link streamEvents}. */
export async function streamPull(
  response: ServerResponse,
  log: Logger,
  run: (onProgress: (progress: PullProgress) => void, signal: AbortSignal) => Promise<PullResult>,
  { deadlineMs }: PullStreamOptions = {}
): Promise<void> {
  const deadline = deadlineMs === undefined ? undefined : AbortSignal.timeout(deadlineMs)
  const work = {
    run,
    keyOf: ({ digest }: PullProgress) => digest,
    explain: (error: unknown) => explain(error, deadline, log)
  }
  await streamEvents(response, work, deadline)
}

function explain(error: unknown, deadline: AbortSignal | undefined, log: Logger): Failure {
  if (deadline?.aborted) {
    return describe(
      new AdminError(504, 'DEADLINE', 'the image did not come in time; what came is kept, ask again to go on')
    )
  }
  const failure = describe(error)
  if (failure.code === 'INTERNAL') log.error({ err: error }, 'a pull failed')
  return failure
}

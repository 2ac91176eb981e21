import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Repository } from '@layermesh/oci'
import type { Guard } from './access/guard.ts'
import type { Seal } from './access/seal.ts'
import type { UploadIds } from './access/upload-ids.ts'
import { AnswerTimeoutError, ClientGoneError } from './errors.ts'
import type { EventReporter } from './event-reporter.ts'
import type { Caller, RegistryBackend } from './interfaces.ts'
import type { RegistryLog } from './log.ts'
import type { ResolvedRegistryOptions } from './options.ts'
import { formatQuery, type Query } from './query.ts'
import type { BodyGate } from './request-body.ts'
import type { SlowAnswers } from './slow-answers.ts'
import type { Target } from './target.ts'

/** What every handler works with. */
export interface Services {
  readonly backend: RegistryBackend
  readonly log: RegistryLog
  readonly guard: Guard
  /** Hides what a client need not understand. */
  readonly seal: Seal
  /** Undefined where a session is whoever's that knows its id. */
  readonly uploadIds: UploadIds | undefined
  readonly options: ResolvedRegistryOptions
  readonly slowAnswers: SlowAnswers
  readonly blobBodies: BodyGate
  readonly manifestBodies: BodyGate
  readonly events: EventReporter
}

/** One request and its answer. */
export interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly target: Target
  readonly query: Query
  readonly caller: Caller
  /** Aborts when the client leaves, and when the answer to a pull does not begin in time. */
  readonly signal: AbortSignal
}

/** An exchange about one repository. */
export interface RepositoryExchange extends Exchange {
  readonly repository: Repository
  /** The repository as the client wrote it in the path, for the addresses that it is told. */
  readonly name: string
  /** The `ns` that the client gave, which the addresses it is told have to keep. */
  readonly namespace: string | undefined
}

/** Where something of this repository is, in the way in which the client addresses it. Relative, so that proxies don't matter. */
export function locate(
  exchange: RepositoryExchange,
  rest: string,
  parameters: Readonly<Record<string, string | number | undefined>> = {}
): string {
  return `/v2/${exchange.name}/${rest}${formatQuery({ ...parameters, ns: exchange.namespace })}`
}

/**
 * A signal that aborts when the client leaves before its answer is complete, and, given `answerTimeoutMs`, when the
 * answer has not begun by then.
 */
export function exchangeSignal(response: ServerResponse, answerTimeoutMs: number | undefined): AbortSignal {
  const controller = new AbortController()
  const timer =
    answerTimeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          if (!response.headersSent) controller.abort(new AnswerTimeoutError(`no answer within ${answerTimeoutMs} ms`))
        }, answerTimeoutMs)
  response.once('close', () => {
    clearTimeout(timer)
    if (!response.writableFinished) controller.abort(new ClientGoneError('the client closed the connection'))
  })
  return controller.signal
}

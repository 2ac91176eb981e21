import express, { type Express, type RequestHandler } from 'express'
import type { z } from 'zod'
import type { Logger } from '../log.ts'
import { type AdminActionOptions, readInput, requireToken } from './action.ts'
import { AdminError, describe, type Failure } from './errors.ts'
import { streamEvents } from './event-stream.ts'
import { refuseMethod } from './methods.ts'

/** An action of those who have the admin token that takes long: its answer tells how far it is, as a pull's does. */
export interface StreamedAction {
  /** Below `/api/v1/`, such as `prefetch`; asked by `POST`. */
  readonly path: string
  /** One line for the API's description and its index. */
  readonly summary: string
  /** How many run at one time; more are refused. */
  readonly maxRunning: number
  readonly input: z.ZodType
  readonly progress: z.ZodType
  readonly result: z.ZodType
  keyOf(progress: unknown): string
  run(input: unknown, onProgress: (progress: unknown) => void, signal: AbortSignal): Promise<unknown>
}

/** Makes a {@link StreamedAction} whose functions have the types of its schemas. */
export function streamedAction<Input extends z.ZodType, Progress extends z.ZodType, Result extends z.ZodType>(
  action: Omit<StreamedAction, 'input' | 'progress' | 'result' | 'keyOf' | 'run'> & {
    readonly input: Input
    readonly progress: Progress
    readonly result: Result
    keyOf(progress: z.input<Progress>): string
    run(
      input: z.output<Input>,
      onProgress: (progress: z.input<Progress>) => void,
      signal: AbortSignal
    ): Promise<z.input<Result>>
  }
): StreamedAction {
  return {
    ...action,
    keyOf: (progress) => action.keyOf(progress as z.input<Progress>),
    run: (input, onProgress, signal) => action.run(input as z.output<Input>, onProgress, signal)
  }
}

/** Has an Express application answer streamed actions. */
export function serveStreamedActions(
  app: Express,
  actions: readonly StreamedAction[],
  options: Omit<AdminActionOptions, 'deadlineMs'> & { readonly log: Logger }
): void {
  for (const action of actions) {
    app
      .route(`/api/v1/${action.path}`)
      .all(requireToken(options))
      .post(express.json({ limit: options.maxBodyBytes }), answer(action, options))
      .all(refuseMethod('POST'))
  }
}

function answer(
  action: StreamedAction,
  { onAction, log }: Pick<AdminActionOptions, 'onAction'> & { readonly log: Logger }
): RequestHandler {
  let running = 0
  return async (request, response) => {
    const { path, maxRunning } = action
    const input = readInput(action, request.body)
    if (running >= maxRunning) {
      throw new AdminError(429, 'TOO_MANY', `${running} of these are running; wait until one has ended`)
    }
    running++
    let failure: { error?: unknown } = {}
    const explain = (error: unknown): Failure => {
      failure = { error }
      const told = describe(error)
      if (told.code === 'INTERNAL') log.error({ err: error, path }, 'an admin request failed')
      return told
    }
    try {
      await streamEvents(response, {
        run: (onProgress: (progress: unknown) => void, signal) => action.run(input, onProgress, signal),
        keyOf: (progress) => action.keyOf(progress),
        explain
      })
    } finally {
      running--
      onAction?.({ method: 'POST', path, input, address: request.socket.remoteAddress ?? '', ...failure })
    }
  }
}

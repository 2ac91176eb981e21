import { createHash, timingSafeEqual } from 'node:crypto'
import express, { type Express, type RequestHandler } from 'express'
import type { z } from 'zod'
import { AdminError } from './errors.ts'
import { refuseMethod } from './methods.ts'

/**
 * A request of the admin API that only those may make who can read the node's admin token: it changes something, or
 * shows what not everybody on the host should see. `GET` takes its input from the query, the others as a JSON body.
 */
export interface AdminAction {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** Below `/api/v1/`, such as `keys`. Several methods can share one. */
  readonly path: string
  /** One line for the API's description and its index. */
  readonly summary: string
  readonly input: z.ZodType
  readonly output: z.ZodType
  /** @throws {AdminError} for what is refused; other errors with a `code` are told as they are */
  run(input: unknown, signal: AbortSignal): Promise<unknown>
}

/** Makes an {@link AdminAction} whose `run` has the types of its schemas. Input schemas are strict: unknown keys are refused. */
export function adminAction<Input extends z.ZodType, Output extends z.ZodType>(
  action: Omit<AdminAction, 'input' | 'output' | 'run'> & {
    readonly input: Input
    readonly output: Output
    run(input: z.output<Input>, signal: AbortSignal): Promise<z.input<Output>>
  }
): AdminAction {
  return { ...action, run: (input, signal) => action.run(input as z.output<Input>, signal) }
}

/** Told of each action, whether it succeeded, and of requests without the token; for the audit log. */
export interface AdminActionEvent {
  readonly method: string
  readonly path: string
  readonly input: unknown
  readonly address: string
  /** Undefined when it was done. */
  readonly error?: unknown
}

export interface AdminActionOptions {
  readonly token: string
  readonly maxBodyBytes: number
  /** How long an action may take, in ms. */
  readonly deadlineMs: number
  readonly onAction?: (event: AdminActionEvent) => void
}

/** Has an Express application answer the actions. */
export function serveActions(app: Express, actions: readonly AdminAction[], options: AdminActionOptions): void {
  for (const [path, methods] of Map.groupBy(actions, (action) => action.path)) {
    const route = app.route(`/api/v1/${path}`).all(requireToken(options))
    for (const action of methods) {
      const answer = answerAction(action, options)
      if (action.method === 'GET') route.get(answer)
      if (action.method === 'POST') route.post(express.json({ limit: options.maxBodyBytes }), answer)
      if (action.method === 'DELETE') route.delete(express.json({ limit: options.maxBodyBytes }), answer)
    }
    route.all(refuseMethod(methods.map(({ method }) => method).join(', ')))
  }
}

function answerAction(action: AdminAction, { deadlineMs, onAction }: AdminActionOptions): RequestHandler {
  return async (request, response) => {
    const { method, path } = action
    const tell = (input: unknown, failure: { error?: unknown }) =>
      onAction?.({ method, path, input, address: request.socket.remoteAddress ?? '', ...failure })
    const input = readInput(action, method === 'GET' ? request.query : request.body)
    try {
      const output = await action.run(input, AbortSignal.timeout(deadlineMs))
      tell(input, {})
      response.json(output)
    } catch (error) {
      tell(input, { error })
      throw error
    }
  }
}

/** @throws {AdminError} BODY_INVALID */
export function readInput(action: Pick<AdminAction, 'input'>, given: unknown): unknown {
  const parsed = action.input.safeParse(given)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const where = issue?.path.join('.') || 'the input'
  throw new AdminError(400, 'BODY_INVALID', `${where}: ${issue?.message ?? 'is not as described in openapi.json'}`)
}

/** Lets only those through who show the token. Hashed first, so that how long the comparison takes tells nothing, not even the length. */
export function requireToken({ token, onAction }: Pick<AdminActionOptions, 'token' | 'onAction'>): RequestHandler {
  const expected = sha256(`Bearer ${token}`)
  return (request, response, next) => {
    if (timingSafeEqual(sha256(request.headers.authorization ?? ''), expected)) return next()
    response.set('www-authenticate', 'Bearer realm="layermesh admin"')
    const error = new AdminError(
      401,
      'ADMIN_TOKEN_NEEDED',
      'this needs the token of the file admin.token in the data directory of the node, as `Authorization: Bearer TOKEN`'
    )
    const path = request.originalUrl.replace(/^\/api\/v1\/|\?.*$/g, '')
    onAction?.({ method: request.method, path, input: undefined, address: request.socket.remoteAddress ?? '', error })
    throw error
  }
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

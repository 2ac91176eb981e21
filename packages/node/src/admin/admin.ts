import { parseImageReference } from '@layermesh/oci'
import express, { type Express, type RequestHandler } from 'express'
import type { ListenAddress } from '../config/addresses.ts'
import type { Logger } from '../log.ts'
import type { NodeMetrics } from '../metrics.ts'
import { VERSION } from '../version.ts'
import { type AdminAction, type AdminActionEvent, requireToken, serveActions } from './action.ts'
import { browserGuard } from './browser-guard.ts'
import { AdminError, answerErrors } from './errors.ts'
import { indexHtml, indexText } from './index-page.ts'
import { refuseMethod } from './methods.ts'
import { describeApi } from './openapi.ts'
import { streamPull } from './pull-stream.ts'
import { pullRequestSchema } from './schemas.ts'
import { type StreamedAction, serveStreamedActions } from './streamed-action.ts'
import type { NodeView } from './view.ts'

export interface AdminComponents {
  readonly view: NodeView
  readonly metrics: Pick<NodeMetrics, 'expose'>
  readonly log: Logger
  /** What it can be told to do by those who have the token. */
  readonly actions: readonly AdminAction[]
  /** The same for what takes long. @default none */
  readonly streams?: readonly StreamedAction[]
  /** Told of each action, done or refused by itself. */
  readonly onAction?: (event: AdminActionEvent) => void
}

export interface AdminOptions {
  /** What the actions require. */
  readonly token: string
  /**
   * Whether the token is needed for all that tells of content or fetches some too: with access control, not everybody on
   * the host may know what is in private repositories. @default false
   */
  readonly tokenForViews?: boolean
  /** Where it listens; it may be asked by this name. */
  readonly listen: ListenAddress
  /** Other names by which it may be asked; localhost and IP addresses always may. @default [] */
  readonly hosts?: readonly string[]
  /** Pulls at one time. @default 8 */
  readonly maxPulls?: number
}

const DEFAULTS = Object.freeze({ tokenForViews: false, hosts: [], maxPulls: 8 })
const VIEWS = ['peers', 'images', 'transfers', 'pull'].map((name) => `/api/v1/${name}`)
const ACTION_DEADLINE_MS = 30_000
const MAX_BODY_BYTES = 16 * 1024
const HEADERS = Object.freeze({
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff'
})

/** The admin listener: health, metrics and the API by which a running node is looked at and told what to do. */
export function createAdmin(components: AdminComponents, options: AdminOptions): Express {
  const { view, log, actions, streams = [], onAction } = components
  const { token, tokenForViews, listen, hosts, maxPulls } = { ...DEFAULTS, ...options }
  const app = express().disable('x-powered-by').disable('etag').set('query parser', 'simple')
  app.use((_request, response, next) => {
    response.set(HEADERS)
    next()
  })
  app.use(browserGuard([listen.host, ...hosts]))
  get(app, '/', index([...actions, ...streams]))
  health(app, components)
  if (tokenForViews) app.use(VIEWS, requireToken({ token, ...(onAction && { onAction }) }))
  get(app, '/api/v1/status', (_request, response) => void response.json(view.status()))
  get(app, '/api/v1/peers', (_request, response) => void response.json(view.peers()))
  get(app, '/api/v1/images', async (_request, response) => void response.json(await view.images()))
  get(app, '/api/v1/transfers', (_request, response) => void response.json(view.transfers()))
  get(app, '/api/v1/openapi.json', (_request, response) => void response.json(describeApi(VERSION, actions, streams)))
  app
    .route('/api/v1/pull')
    .post(express.json({ limit: MAX_BODY_BYTES }), pull(components, maxPulls))
    .all(refuseMethod('POST'))
  const needs = { token, maxBodyBytes: MAX_BODY_BYTES, ...(onAction && { onAction }) }
  serveActions(app, actions, { ...needs, deadlineMs: ACTION_DEADLINE_MS })
  serveStreamedActions(app, streams, { ...needs, log })
  app.use((request) => {
    throw new AdminError(404, 'NOT_FOUND', `there is nothing at ${request.path}`)
  })
  app.use(answerErrors(log))
  return app
}

function health(app: Express, { view, metrics }: AdminComponents): void {
  get(app, '/livez', (_request, response) => void response.type('text').send('ok\n'))
  get(app, '/readyz', (_request, response) => {
    const { ready, notReady } = view.status()
    const lines = ready ? ['ready'] : notReady.map((reason) => `not ready: ${reason}`)
    response
      .status(ready ? 200 : 503)
      .type('text')
      .send(`${lines.join('\n')}\n`)
  })
  get(app, '/metrics', async (_request, response) => {
    const { contentType, text } = await metrics.expose()
    response.type(contentType).send(text)
  })
}

function index(actions: readonly (AdminAction | StreamedAction)[]): RequestHandler {
  return (request, response) => {
    const html = request.accepts(['text/plain', 'text/html']) === 'text/html'
    response.type(html ? 'html' : 'text').send(html ? indexHtml(VERSION, actions) : indexText(VERSION, actions))
  }
}

function pull({ view, log }: AdminComponents, maxPulls: number): RequestHandler {
  let running = 0
  return async (request, response) => {
    const { reference, deadlineMs } = readPullRequest(request.body)
    const image = parseImageReference(reference)
    if (running >= maxPulls) {
      throw new AdminError(429, 'TOO_MANY_PULLS', `${running} pulls are running; wait until one has ended`)
    }
    running++
    try {
      const options = deadlineMs === undefined ? {} : { deadlineMs }
      await streamPull(response, log, (onProgress, signal) => view.pull(image, onProgress, signal), options)
    } finally {
      running--
    }
  }
}

function readPullRequest(body: unknown) {
  const parsed = pullRequestSchema.safeParse(body)
  if (parsed.success) return parsed.data
  throw new AdminError(400, 'BODY_INVALID', 'expected JSON such as {"reference": "team/app:1", "deadlineMs": 60000}')
}

function get(app: Express, path: string, handler: RequestHandler): void {
  app.route(path).get(handler).all(refuseMethod('GET'))
}

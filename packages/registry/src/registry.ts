import { randomBytes } from 'node:crypto'
import { OciError, unlessAborted } from '@layermesh/oci'
import express, { type ErrorRequestHandler, type Express, type Request, type Response } from 'express'
import { clientAddress } from './access/client-proof.ts'
import { Guard } from './access/guard.ts'
import { Seal } from './access/seal.ts'
import { UploadIds } from './access/upload-ids.ts'
import { parseOwnHosts } from './addressing.ts'
import { sendError } from './answer.ts'
import { globalMethods, isEnabled, type Methods, repositoryMethods } from './endpoints.ts'
import { ClientGoneError, failureOf, StatusError } from './errors.ts'
import { EventReporter } from './event-reporter.ts'
import { type Exchange, exchangeSignal, type Services } from './exchange.ts'
import type { Caller, RegistryAccess, RegistryBackend, RegistryListener } from './interfaces.ts'
import { loggedTarget, type RegistryLog } from './log.ts'
import { checkMirrored, withDefaultRegistry, withOwnOrDefault } from './mirrored-target.ts'
import { REGISTRY_DEFAULTS, type RegistryOptions } from './options.ts'
import { refusalOf } from './refusal.ts'
import { BodyGate, discardBody, hasBody } from './request-body.ts'
import { SlowAnswers } from './slow-answers.ts'
import { parseTarget, type Target } from './target.ts'

const SEALING_KEY_BYTES = 32

/** What the registry is built on. */
export interface RegistryComponents {
  readonly backend: RegistryBackend
  readonly log: RegistryLog
  /** Who may do what. @default everybody everything */
  readonly access?: RegistryAccess
  /**
   * With access control: secret bytes by which ids of uploads are bound to whoever began them. The same key lets uploads
   * go on after a restart. @default random bytes
   */
  readonly sealingKey?: Uint8Array
  /**
   * Told of every request that moved, mounted or deleted content. A chunk of a push comes without a digest; it and
   * the request that completes the blob each tell of the bytes that they themselves brought.
   */
  readonly events?: RegistryListener
}

/**
 * The `/v2/` API of OCI distribution 1.1 as an Express application: Express finds the way in, and plain functions then
 * work on Node's own request and response, so that it has no part in moving bytes.
 * @throws {OciError} NAME_INVALID when one of `ownHosts` is no host
 */
export function createRegistry(components: RegistryComponents, options: RegistryOptions = {}): Express {
  const services = createServices(components, options)
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.set('query parser', false)
  app.all(/^\/v2(?:\/.*)?$/, (request, response) => handle(services, request, response))
  app.use((request, response) => {
    answerFailure(services, request, response, noEndpoint(), {})
  })
  const onError: ErrorRequestHandler = (error, request, response, _next) => {
    answerFailure(services, request, response, error, {})
  }
  return app.use(onError)
}

function createServices(components: RegistryComponents, given: RegistryOptions): Services {
  const { backend, log, access, events: listener, sealingKey = randomBytes(SEALING_KEY_BYTES) } = components
  const options = { ...REGISTRY_DEFAULTS, ...given, ownHosts: parseOwnHosts(given.ownHosts ?? []) }
  const seal = new Seal(sealingKey)
  return {
    backend,
    log,
    options,
    guard: new Guard(access, options),
    seal,
    uploadIds: access === undefined ? undefined : new UploadIds(seal),
    events: new EventReporter({ listener, log }, options),
    slowAnswers: new SlowAnswers({ max: options.maxSlowAnswers, afterMs: options.slowAnswerMs }),
    blobBodies: new BodyGate(options.maxConcurrentUploadBodies),
    manifestBodies: new BodyGate(options.maxConcurrentManifestBodies)
  }
}

async function handle(services: Services, request: Request, response: Response): Promise<void> {
  const isPull = request.method === 'GET' || request.method === 'HEAD'
  const signal = exchangeSignal(response, isPull ? services.options.answerTimeoutMs : undefined)
  response.setHeader('Docker-Distribution-API-Version', 'registry/2.0')
  response.setHeader('X-Content-Type-Options', 'nosniff')
  const startedAt = performance.now()
  response.once('finish', () => {
    const { method, originalUrl } = request
    const durationMs = Math.round(performance.now() - startedAt)
    services.log.debug({ method, path: loggedTarget(originalUrl), status: response.statusCode, durationMs }, 'answered')
  })
  const known: Known = {}
  try {
    await unlessAborted(act(services, request, response, known, signal), signal)
  } catch (error) {
    answerFailure(services, request, response, error, known)
  } finally {
    const { maxDiscardedBytes: maxBytes, discardTimeoutMs: timeoutMs } = services.options
    if (hasBody(request)) discardBody(request, { maxBytes, timeoutMs })
    // What was given to the connection as a whole, such as a manifest, is held until the client takes it.
    if (response.writableEnded && !response.writableFinished) {
      response.once(
        'close',
        services.slowAnswers.given(() => response.destroy())
      )
    }
  }
}

/** What was found out of a request before it failed. */
interface Known {
  target?: Target
  caller?: Caller
}

/** Does what the request asks for, once it is clear who asks and that they may. */
async function act(
  services: Services,
  request: Request,
  response: Response,
  known: Known,
  signal: AbortSignal
): Promise<void> {
  const read = parseTarget(request.originalUrl, services.options.ownHosts)
  if (read === undefined) throw noEndpoint()
  const named = withDefaultRegistry(read, services.backend.mirrors)
  known.target = named
  const { namespace, query, route } = named
  if (namespace !== undefined && route.endpoint !== 'base') response.setHeader('OCI-Namespace', namespace)
  const caller = await services.guard.identify(request, named, signal)
  known.caller = caller
  const target = await withOwnOrDefault(services, request, named, caller)
  known.target = target
  const methods = methodsOf(services, { request, response, target, query, caller, signal })
  const allowed = Object.keys(methods).filter((method) => isEnabled(method, route.endpoint, services.options))
  const answer = allowed.includes(request.method) ? methods[request.method] : undefined
  if (answer === undefined) {
    response.setHeader('Allow', allowed.join(', '))
    throw new OciError('UNSUPPORTED', `${request.method} is not allowed here`)
  }
  try {
    services.guard.authorize(request, target, caller)
    await checkMirrored(services, request, target)
    await answer()
  } catch (error) {
    const refusal = refusalOf(request, target, caller, error)
    if (refusal !== undefined) services.events.refused({ request, caller }, refusal)
    throw error
  }
}

function methodsOf(services: Services, exchange: Exchange): Methods {
  const { target } = exchange
  if (target.repository === undefined) {
    if (target.route.endpoint === 'base' || !target.isMirrored) {
      return globalMethods(services, exchange, target.route.endpoint)
    }
    throw new OciError('NAME_UNKNOWN', 'the repositories of other registries can not be listed here')
  }
  const { route, repository, namespace } = target
  return repositoryMethods(services, { ...exchange, repository, name: route.name, namespace }, route)
}

function noEndpoint(): OciError {
  return new StatusError(404, 'UNSUPPORTED', 'there is no such endpoint')
}

/** Tells the client what went wrong, or, when the answer has begun already, cuts it off so that it can't pass for whole. */
function answerFailure(
  services: Services,
  request: Request,
  response: Response,
  thrown: unknown,
  { target, caller }: Known
): void {
  const { method } = request
  const path = loggedTarget(request.originalUrl)
  if (thrown instanceof ClientGoneError || response.destroyed) {
    services.log.debug({ method, path }, 'the client left before its answer was complete')
    return
  }
  const { error, level } = failureOf(thrown)
  const fields = { method, path, code: error.code, detail: error.detail, err: error.cause ?? thrown }
  if (response.headersSent) {
    services.log.warn(fields, 'an answer was cut off')
    response.destroy()
    return
  }
  if (error.code === 'DENIED') {
    const remoteAddress = clientAddress(request, services.options.behindTlsProxy)
    const { err: _, ...plain } = fields
    services.log.info({ ...plain, actor: caller?.name, remoteAddress }, error.message)
  } else services.log[level](fields, error.message)
  if (error.status === 408 || request.headers.expect !== undefined) response.setHeader('Connection', 'close')
  const told = services.guard.answerTo(request, target, error)
  sendError(response, told.error, told.headers)
}

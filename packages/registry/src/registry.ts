import { OciError, registryHostOf } from '@layermesh/oci'
import express, { type ErrorRequestHandler, type Express, type Request, type Response } from 'express'
import { addressRepository, parseOwnHosts } from './addressing.ts'
import { sendError } from './answer.ts'
import { globalMethods, isEnabled, type Methods, repositoryMethods } from './endpoints.ts'
import { asAnsweredToPull, ClientGoneError, failureOf, StatusError } from './errors.ts'
import { EventReporter } from './event-reporter.ts'
import { type Exchange, exchangeSignal, type Services, unlessAborted } from './exchange.ts'
import {
  type Caller,
  OPEN_CALLER,
  type RegistryAccess,
  type RegistryBackend,
  type RegistryListener
} from './interfaces.ts'
import type { RegistryLog } from './log.ts'
import { REGISTRY_DEFAULTS, type RegistryOptions } from './options.ts'
import { Query } from './query.ts'
import { BodyGate, discardBody, hasBody } from './request-body.ts'
import { parseRoute, type Route } from './route.ts'

/** What the registry is built on. */
export interface RegistryComponents {
  readonly backend: RegistryBackend
  readonly log: RegistryLog
  /** Who may do what. @default everybody everything */
  readonly access?: RegistryAccess
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
    answerFailure(services, request, response, noEndpoint())
  })
  const onError: ErrorRequestHandler = (error, request, response, _next) => {
    answerFailure(services, request, response, error)
  }
  return app.use(onError)
}

function createServices(
  { backend, log, access, events: listener }: RegistryComponents,
  given: RegistryOptions
): Services {
  const options = { ...REGISTRY_DEFAULTS, ...given, ownHosts: parseOwnHosts(given.ownHosts ?? []) }
  return {
    backend,
    log,
    access,
    options,
    events: new EventReporter({ listener, log }, options.recordTimeoutMs),
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
    const { method, originalUrl: path } = request
    const durationMs = Math.round(performance.now() - startedAt)
    services.log.debug({ method, path, status: response.statusCode, durationMs }, 'answered')
  })
  try {
    await unlessAborted(route(services, request, response, signal), signal)
  } catch (error) {
    answerFailure(services, request, response, error)
  } finally {
    const { maxDiscardedBytes: maxBytes, discardTimeoutMs: timeoutMs } = services.options
    if (hasBody(request)) discardBody(request, { maxBytes, timeoutMs })
  }
}

/** From the raw target of the request to the function that answers it. */
async function route(services: Services, request: Request, response: Response, signal: AbortSignal): Promise<void> {
  const [path = '', search = ''] = splitTarget(request.originalUrl)
  const target = parseRoute(path)
  if (target === undefined) throw noEndpoint()
  const caller = await identify(services, request, signal)
  const exchange: Exchange = { request, response, query: new Query(search), caller, signal }
  const methods = methodsOf(services, exchange, target)
  const allowed = Object.keys(methods).filter((method) => isEnabled(method, target.endpoint, services.options))
  const act = allowed.includes(request.method) ? methods[request.method] : undefined
  if (act === undefined) {
    response.setHeader('Allow', allowed.join(', '))
    throw new OciError('UNSUPPORTED', `${request.method} is not allowed here`)
  }
  await act()
}

function identify({ access }: Services, request: Request, signal: AbortSignal): Caller | Promise<Caller> {
  if (access === undefined) return OPEN_CALLER
  const address = request.socket.remoteAddress ?? ''
  return access.identify({ authorization: request.headers.authorization, certificate: undefined, address }, signal)
}

function methodsOf(services: Services, exchange: Exchange, target: Route): Methods {
  const { ownHosts } = services.options
  const namespace = namespaceOf(exchange.query)
  if (target.endpoint === 'base') return globalMethods(services, exchange, target.endpoint)
  const name = target.endpoint === 'catalog' ? 'any' : target.name
  const repository = addressRepository(name, namespace, ownHosts)
  if (namespace !== undefined) exchange.response.setHeader('OCI-Namespace', namespace)
  if (target.endpoint !== 'catalog') {
    return repositoryMethods(services, { ...exchange, repository, name: target.name, namespace }, target)
  }
  if (registryHostOf(repository) === undefined) return globalMethods(services, exchange, target.endpoint)
  throw new OciError('NAME_UNKNOWN', 'the repositories of other registries can not be listed here')
}

function namespaceOf(query: Query): string | undefined {
  const [namespace, ...more] = query.all('ns')
  if (more.length === 0) return namespace
  throw new OciError('NAME_UNKNOWN', 'ns can be given once')
}

function splitTarget(target: string): [string, string] {
  const mark = target.indexOf('?')
  return mark < 0 ? [target, ''] : [target.slice(0, mark), target.slice(mark + 1)]
}

function noEndpoint(): OciError {
  return new StatusError(404, 'UNSUPPORTED', 'there is no such endpoint')
}

/** Tells the client what went wrong, or, when the answer has begun already, cuts it off so that it can't pass for whole. */
function answerFailure(services: Services, request: Request, response: Response, thrown: unknown): void {
  const { method, originalUrl: path } = request
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
  services.log[level](fields, error.message)
  if (error.status === 408 || request.headers.expect !== undefined) response.setHeader('Connection', 'close')
  sendError(response, method === 'GET' || method === 'HEAD' ? asAnsweredToPull(error) : error)
}

import { UpstreamError, type UpstreamErrorCode } from '../errors.ts'
import type { LeftAlone } from '../pace/left-alone.ts'
import { discard, type HttpAnswer, type HttpRequest } from './answer.ts'
import { ConnectFailure, errorCode, UnsafeTarget } from './failures.ts'

export interface ExchangeComponents {
  readonly transport: { send(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> }
  /** By origin: the registry, its token service, the stores to which it redirects. */
  readonly unreachable: LeftAlone
}

export interface ExchangeOptions {
  /** As repositories name it, for messages. */
  readonly registry: string
}

const MAX_REDIRECTS = 5
const MAX_LOCATION_LENGTH = 8_192
const REDIRECTS = new Set([301, 302, 303, 307, 308])
/** What undici and its parser say of an answer that breaks the protocol. */
const BROKEN_PROTOCOL =
  /^(HPE_|UND_ERR_HEADERS_OVERFLOW$|UND_ERR_RES_CONTENT_LENGTH_MISMATCH$|UND_ERR_RES_EXCEEDED_MAX_SIZE$)/
/** A connection that was at rest may end at the very moment when it is used again. */
const LOST_CONNECTION = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'])
/** It took the request and said nothing; so many in a row may be due to what was asked for, which a HEAD is not. */
const NO_HEAD = 'UND_ERR_HEADERS_TIMEOUT'
const TOLERATED_NO_HEADS = 2

/** HTTP with one registry and what it leads to: redirects, and what failures mean. */
export class Exchange {
  readonly #components: ExchangeComponents
  readonly #options: ExchangeOptions

  constructor(components: ExchangeComponents, options: ExchangeOptions) {
    this.#components = components
    this.#options = options
  }

  /**
   * Sends a request of GET or HEAD and follows redirects by hand: a bounded number, never from https to http, and what
   * proves who asks stays with the origin that it was meant for, also when a later redirect comes back there.
   * @throws {UpstreamError} UNREACHABLE, UNAVAILABLE, UNSAFE, MALFORMED; the reason of `signal`
   */
  async follow(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    let current = request
    for (let redirects = 0; ; redirects++) {
      const answer = await this.send(current, signal)
      if (!REDIRECTS.has(answer.status)) return answer
      discard(answer)
      if (redirects === MAX_REDIRECTS) throw this.#error('MALFORMED', `redirected more than ${MAX_REDIRECTS} times`)
      const url = this.#target(answer)
      current = { ...current, url, headers: headersFor(current, url) }
    }
  }

  /** Sends one request. @throws {UpstreamError} UNREACHABLE, UNAVAILABLE, UNSAFE, MALFORMED; the reason of `signal` */
  async send(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    const pass = this.#components.unreachable.enter(request.url.origin)
    if (typeof pass === 'number') {
      throw this.#error('UNREACHABLE', 'it could not be reached and is left alone', { retryAfterMs: pass })
    }
    try {
      const answer = await this.#sendAgainOnce(request, signal)
      pass.succeeded()
      return answer
    } catch (error) {
      signal.throwIfAborted()
      const reason = errorCode(error)
      if (error instanceof ConnectFailure && !isUnsafe(error)) pass.failed({ reason })
      else if (reason === NO_HEAD)
        pass.failed({ reason, tolerated: request.method === 'HEAD' ? 0 : TOLERATED_NO_HEADS })
      throw this.failure(error)
    } finally {
      pass.end()
    }
  }

  async #sendAgainOnce(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    const { transport } = this.#components
    try {
      return await transport.send(request, signal)
    } catch (error) {
      const isLost = !(error instanceof ConnectFailure) && LOST_CONNECTION.has(errorCode(error) ?? '')
      if (!isLost || request.method === 'POST' || signal.aborted) throw error
      return await transport.send(request, signal)
    }
  }

  /** What a failure of a connection, or in a body, means. Its message names no address and no URL. */
  failure(error: unknown): UpstreamError {
    if (error instanceof UpstreamError) return error
    const code = errorCode(error) ?? 'no code'
    if (isUnsafe(error)) return this.#error('UNSAFE', 'it is, or leads to, an address that may not be reached')
    if (error instanceof ConnectFailure) return this.#error('UNREACHABLE', `no connection (${code})`, { cause: error })
    if (BROKEN_PROTOCOL.test(code))
      return this.#error('MALFORMED', `its answer breaks the protocol (${code})`, { cause: error })
    return this.#error('UNAVAILABLE', `no answer, or none in time (${code})`, { cause: error })
  }

  #target(answer: HttpAnswer): URL {
    const location = answer.headers.get('location') ?? ''
    const url = location.length > MAX_LOCATION_LENGTH ? null : URL.parse(location, answer.url.href)
    if (location === '' || url === null) throw this.#error('MALFORMED', 'it redirected to no URL that can be read')
    const isPlain = url.protocol === 'http:' && answer.url.protocol === 'http:'
    if (url.protocol !== 'https:' && !isPlain)
      throw this.#error('UNSAFE', `it redirected from https to ${url.protocol}`)
    if (url.username + url.password !== '') throw this.#error('UNSAFE', 'it redirected to a URL with credentials')
    return url
  }

  #error(code: UpstreamErrorCode, message: string, details: { retryAfterMs?: number; cause?: unknown } = {}) {
    const { registry } = this.#options
    return new UpstreamError(code, registry, `${registry}: ${message}`, details)
  }
}

function headersFor({ url: before, headers }: HttpRequest, url: URL): HttpRequest['headers'] {
  if (url.origin === before.origin) return headers
  const { authorization: _, ...rest } = headers
  return rest
}

function isUnsafe(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return error instanceof UnsafeTarget || isUnsafe(error.cause)
}

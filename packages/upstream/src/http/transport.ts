import { getCACertificates } from 'node:tls'
import { Agent } from 'undici'
import { AnswerHeaders, type HttpAnswer, type HttpRequest } from './answer.ts'
import { createConnector, type Resolve } from './connector.ts'

export interface TransportOptions {
  /** The registry itself. */
  readonly origin: URL
  /** Whether the operator listed it. */
  readonly listed: boolean
  /** Certificates in PEM that are trusted for the registry in place of the usual ones, and beside them for all else. */
  readonly ca?: string
  readonly userAgent: string
  /** For name resolution, connection and TLS together. */
  readonly connectTimeoutMs: number
  /** From the request to the head of its answer. */
  readonly headersTimeoutMs: number
  /** The longest silence in a body, while it is being read. */
  readonly silenceTimeoutMs: number
  /** To one origin at one time. */
  readonly maxConnections: number
}

/** The longest head of an answer; signed URLs are long. */
const MAX_HEAD_BYTES = 32 * 1024
/** The registry, its token service, and what its redirects lead to. */
const MAX_ORIGINS = 32
const KEEP_ALIVE_MS = 15_000
const MAX_KEEP_ALIVE_MS = 60_000

/** Sends single requests for one registry over connections that are kept, and follows nothing. */
export class Transport {
  readonly #agent: Agent
  readonly #userAgent: string

  constructor({ resolve }: { readonly resolve: Resolve }, options: TransportOptions) {
    const { origin, listed, ca, userAgent, connectTimeoutMs: timeoutMs } = options
    const certificates = ca === undefined ? {} : { ca: { own: ca, others: [...getCACertificates(), ca] } }
    this.#userAgent = userAgent
    this.#agent = new Agent({
      connect: createConnector(resolve, { origin, listed, timeoutMs, ...certificates }),
      connections: options.maxConnections,
      maxOrigins: MAX_ORIGINS,
      headersTimeout: options.headersTimeoutMs,
      bodyTimeout: options.silenceTimeoutMs,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: MAX_KEEP_ALIVE_MS,
      maxHeaderSize: MAX_HEAD_BYTES
    })
  }

  /**
   * @param signal ends the request, and the body after it
   * @throws {ConnectFailure}, {UnsafeTarget}; errors of undici and of the system
   */
  async send({ method, url, headers, body }: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    const { origin, pathname, search } = url
    const answer = await this.#agent.request({
      method,
      origin,
      path: `${pathname}${search}`,
      headers: { ...headers, 'user-agent': this.#userAgent, 'accept-encoding': 'identity' },
      ...(body === undefined ? {} : { body }),
      // Else connections would end with each HEAD, for servers that send a body after it: what these send is refused.
      reset: false,
      signal
    })
    return { status: answer.statusCode, url, headers: new AnswerHeaders(answer.headers), body: answer.body }
  }

  /** Takes no more requests, and lets go of the connections once those before are answered. */
  async retire(): Promise<void> {
    await this.#agent.close()
  }

  /** Ends all connections. */
  async close(): Promise<void> {
    await this.#agent.destroy()
  }
}

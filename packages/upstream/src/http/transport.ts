import { getCACertificates } from 'node:tls'
import { Agent, errors } from 'undici'
import type { HttpProxy, ProxyChoice } from '../proxy/proxy.ts'
import { AnswerHeaders, discard, type HttpAnswer, type HttpRequest } from './answer.ts'
import { Border } from './border.ts'
import { createConnector, type Resolve } from './connector.ts'
import { ProxyRefusal } from './failures.ts'
import { connectorToProxy, Tunnels } from './tunnels.ts'

export interface TransportOptions {
  /** The registry itself. */
  readonly origin: URL
  /** Whether the operator listed it. */
  readonly listed: boolean
  /** Certificates in PEM that are trusted for the registry in place of the usual ones, and beside them for all else. */
  readonly ca?: string
  readonly proxyFor: ProxyChoice
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
const PROXY_AUTHENTICATION_REQUIRED = 407

/** Sends single requests for one registry over connections that are kept, and follows nothing. */
export class Transport {
  readonly #agent: Agent
  /** For plain HTTP by proxies, which take requests for all hosts over one connection. */
  readonly #forwards: Agent
  readonly #border: Border
  readonly #tunnels: Tunnels
  readonly #userAgent: string
  /** An agent that was told to close lets go of its connections, so that destroying it ends none of them. */
  readonly #closed = new AbortController()

  constructor({ resolve }: { readonly resolve: Resolve }, options: TransportOptions) {
    const { ca, userAgent, connectTimeoutMs: timeoutMs } = options
    const certificates = ca === undefined ? {} : { ca: { own: ca, others: [...getCACertificates(), ca] } }
    this.#userAgent = userAgent
    this.#border = new Border(options)
    this.#tunnels = new Tunnels({ timeoutMs })
    const connect = createConnector(
      { resolve, border: this.#border, tunnels: this.#tunnels },
      { timeoutMs, ...certificates }
    )
    this.#agent = new Agent({ ...agentOptions(options), connect })
    this.#forwards = new Agent({ ...agentOptions(options), connect: connectorToProxy(timeoutMs) })
  }

  /**
   * @param signal ends the request, and the body after it
   * @throws {ConnectFailure}, {UnsafeTarget}; errors of undici and of the system
   */
  async send({ method, url, headers, body }: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    const proxy = url.protocol === 'http:' ? await this.#border.pass(url) : undefined
    const way = proxy === undefined ? this.#directly(url) : this.#byProxy(proxy, url)
    const answer = await way.agent.request({
      method,
      origin: way.origin,
      path: way.path,
      headers: { ...headers, ...way.headers, 'user-agent': this.#userAgent, 'accept-encoding': 'identity' },
      ...(body === undefined ? {} : { body }),
      // Else connections would end with each HEAD, for servers that send a body after it: what these send is refused.
      reset: false,
      signal: AbortSignal.any([signal, this.#closed.signal])
    })
    const sent = { status: answer.statusCode, url, headers: new AnswerHeaders(answer.headers), body: answer.body }
    if (proxy !== undefined && sent.status === PROXY_AUTHENTICATION_REQUIRED) {
      discard(sent)
      throw new ProxyRefusal(sent.status)
    }
    return sent
  }

  /** Takes no more requests, and lets go of the connections once those before are answered. */
  async retire(): Promise<void> {
    await Promise.all([this.#agent.close(), this.#forwards.close()])
  }

  /** Ends all connections. */
  async close(): Promise<void> {
    this.#closed.abort(new errors.ClientDestroyedError())
    this.#tunnels.close()
    await Promise.all([this.#agent.destroy(), this.#forwards.destroy()])
  }

  #directly({ origin, pathname, search }: URL): Way {
    return { agent: this.#agent, origin, path: `${pathname}${search}`, headers: {} }
  }

  /** RFC 9112 §3.2.2: a proxy is told the whole URL. */
  #byProxy({ origin, authorization }: HttpProxy, { href, host }: URL): Way {
    const shown = authorization === undefined ? {} : { 'proxy-authorization': authorization }
    return { agent: this.#forwards, origin, path: href, headers: { host, ...shown } }
  }
}

/** Of whom a request is asked, and how. */
interface Way {
  readonly agent: Agent
  readonly origin: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
}

function agentOptions({ maxConnections, headersTimeoutMs, silenceTimeoutMs }: TransportOptions): Agent.Options {
  return {
    connections: maxConnections,
    maxOrigins: MAX_ORIGINS,
    headersTimeout: headersTimeoutMs,
    bodyTimeout: silenceTimeoutMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: MAX_KEEP_ALIVE_MS,
    maxHeaderSize: MAX_HEAD_BYTES
  }
}

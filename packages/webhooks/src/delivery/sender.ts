import { type ClientRequest, Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import type { LookupFunction } from 'node:net'
import { parseRetryAfter } from '@layermesh/oci'
import { errorCode, isWebhookError, WebhookError } from '../errors.ts'
import type { Message } from '../formats/message.ts'
import { guardedLookup, type Resolve, refuseLiteral } from './addresses.ts'
import { signatureHeaders } from './signature.ts'

/** Brings messages to one receiver. */
export interface Sender {
  /** @returns the status, one of 2xx @throws {WebhookError} when the receiver did not take it */
  send(message: Message, signal: AbortSignal): Promise<number>
  close(): void
}

export interface SenderComponents {
  readonly resolve: Resolve
  /** Milliseconds since 1970. */
  now(): number
  secrets(): Promise<readonly Uint8Array[]>
  headers(): Promise<Readonly<Record<string, string>>>
  /** Certificates in PEM that are trusted in place of the usual ones; undefined for the usual ones. */
  ca(): Promise<string | undefined>
}

export interface SenderOptions {
  readonly url: string
  readonly allowPrivateAddresses: boolean
  /** For all of it: resolving, connecting, sending, the answer. */
  readonly timeoutMs: number
  readonly userAgent: string
}

/** Of an answer nobody needs; so much is read so that the connection can be used again. */
const MAX_DISCARDED_BYTES = 64 * 1024
const IDLE_SOCKET_MS = 4_000

/**
 * Delivers over HTTP by POST. Redirects are not followed, since they could lead to what was refused; a proxy of the
 * environment is not asked, since it would connect to what this process may not.
 */
export class HttpSender implements Sender {
  readonly #components: SenderComponents
  readonly #options: SenderOptions
  readonly #url: URL
  readonly #lookup: LookupFunction | undefined
  #agent: { readonly ca: string | undefined; readonly agent: HttpAgent } | undefined

  constructor(components: SenderComponents, options: SenderOptions) {
    this.#components = components
    this.#options = options
    this.#url = new URL(options.url)
    this.#lookup = options.allowPrivateAddresses ? undefined : guardedLookup(components.resolve)
  }

  async send(message: Message, signal: AbortSignal): Promise<number> {
    const { timeoutMs } = this.#options
    const deadline = AbortSignal.timeout(timeoutMs)
    const either = AbortSignal.any([signal, deadline])
    try {
      return await this.#post(message, either)
    } catch (error) {
      if (signal.aborted) throw new WebhookError('CLOSED', 'the delivery was broken off', { cause: error })
      if (deadline.aborted) throw new WebhookError('TIMEOUT', `no answer within ${timeoutMs} ms`, { cause: error })
      throw isWebhookError(error) ? error : unreachable(error)
    }
  }

  close(): void {
    this.#agent?.agent.destroy()
  }

  async #post(message: Message, signal: AbortSignal): Promise<number> {
    if (!this.#options.allowPrivateAddresses) refuseLiteral(bareHost(this.#url))
    const [headers, agent] = await Promise.all([this.#headersFor(message), this.#agentNow()])
    for (let attempt = 1; ; attempt++) {
      const request = this.#request(headers, agent, signal)
      try {
        return await outcomeOf(request, message.body, this.#components.now)
      } catch (error) {
        // The receiver may have closed a connection at rest at this very moment (RFC 9110 §9.2.2 does not count here: an id tells a repetition).
        if (attempt > 1 || !request.reusedSocket || errorCode(error) !== 'ECONNRESET') throw error
      }
    }
  }

  async #headersFor(message: Message): Promise<Record<string, string>> {
    const { secrets, headers, now } = this.#components
    return {
      ...(await headers()),
      'content-type': message.contentType,
      'content-length': String(Buffer.byteLength(message.body)),
      'user-agent': this.#options.userAgent,
      ...signatureHeaders(message, await secrets(), now())
    }
  }

  /** One connection is enough, since the messages of an endpoint go one after the other. */
  async #agentNow(): Promise<HttpAgent> {
    const ca = await this.#components.ca()
    if (this.#agent !== undefined && this.#agent.ca === ca) return this.#agent.agent
    this.#agent?.agent.destroy()
    const options = { keepAlive: true, maxSockets: 2, maxFreeSockets: 1, timeout: IDLE_SOCKET_MS }
    const secure = this.#url.protocol === 'https:'
    const agent = secure ? new HttpsAgent({ ...options, ...(ca === undefined ? {} : { ca }) }) : new HttpAgent(options)
    this.#agent = { ca, agent }
    return agent
  }

  #request(headers: Record<string, string>, agent: HttpAgent, signal: AbortSignal): ClientRequest {
    const options = { method: 'POST', headers, agent, signal, ...(this.#lookup && { lookup: this.#lookup }) }
    return this.#url.protocol === 'https:' ? requestHttps(this.#url, options) : requestHttp(this.#url, options)
  }
}

function outcomeOf(request: ClientRequest, body: string, now: () => number): Promise<number> {
  return new Promise((resolve, reject) => {
    // Stays: a connection can break after the answer was taken.
    request.on('error', reject)
    request.once('response', (response) => {
      discard(response)
      const status = response.statusCode ?? 0
      if (status >= 200 && status < 300) return resolve(status)
      const retryAfterMs = parseRetryAfter(response.headers['retry-after'], now())
      reject(
        new WebhookError('STATUS_REFUSED', `the receiver answered ${status}`, {
          status,
          ...(retryAfterMs === undefined ? {} : { retryAfterMs })
        })
      )
    })
    request.end(body)
  })
}

function discard(response: IncomingMessage): void {
  let bytes = 0
  response.on('error', () => {})
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > MAX_DISCARDED_BYTES) response.destroy()
  })
}

function unreachable(error: unknown): WebhookError {
  const code = errorCode(error) ?? errorCode((error as { cause?: unknown }).cause) ?? 'no connection'
  return new WebhookError('UNREACHABLE', `the receiver can not be reached (${code})`, { cause: error })
}

function bareHost({ hostname }: URL): string {
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
}

import { parseRetryAfter } from '@layermesh/oci'
import type { Authorizer, Shown } from '../auth/authorizer.ts'
import type { Fingerprint } from '../auth/fingerprint.ts'
import { isUpstreamError, UpstreamError, type UpstreamErrorCode } from '../errors.ts'
import { discard, type HttpAnswer } from '../http/answer.ts'
import type { Exchange } from '../http/exchange.ts'
import { readBody } from '../http/read-body.ts'
import type { UpstreamIdentity, UpstreamRequest } from '../interfaces.ts'
import { outcomeOf, type UpstreamObserver } from '../observer.ts'
import type { LeftAlone, Pass } from '../pace/left-alone.ts'
import { rateLimitKey } from '../pace/pauses.ts'
import { readRateLimit } from '../pace/rate-limit.ts'
import type { Slots } from '../pace/slots.ts'
import { Deadline } from './deadline.ts'

export interface RequestsComponents {
  readonly exchange: Exchange
  readonly authorizer: Authorizer
  readonly fingerprint: Fingerprint
  readonly observer: UpstreamObserver
  /** What the registry has too many of: by kind of question and who asks. */
  readonly limited: LeftAlone
  readonly slots: { readonly blobs: Slots; readonly others: Slots }
}

export interface RequestsOptions {
  /** As repositories name it. */
  readonly registry: string
  /** As what it is counted. */
  readonly label: string
  readonly origin: URL
  /** From the request to the head of the last answer: waiting, tokens and redirects together. */
  readonly answerTimeoutMs: number
  /** The same, and the whole body of an answer that is read at once. */
  readonly bodyTimeoutMs: number
}

/** A question to the registry about a repository. */
export interface Question {
  readonly method: 'GET' | 'HEAD'
  /** Registries count them apart. */
  readonly kind: 'manifest' | 'blob' | 'list'
  /** Name of the repository at the registry. */
  readonly name: string
  /** Below the repository, such as `manifests/latest`, with its query. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
}

/** An answer whose slot is taken until it is let go of. */
export interface OpenAnswer extends HttpAnswer {
  /** Gives the slot back; the body must be done with, or is ended. */
  release(): void
}

/** An answer that was read. */
export interface ReadAnswer {
  readonly headers: HttpAnswer['headers']
  readonly bytes: Buffer
}

/** Asks a registry on somebody's behalf. */
export class Requests {
  readonly #components: RequestsComponents
  readonly #options: RequestsOptions

  constructor(components: RequestsComponents, options: RequestsOptions) {
    this.#components = components
    this.#options = options
  }

  /**
   * @returns what the registry answers: 2xx, or any other that is no failure, such as 404
   * @throws {UpstreamError} for 401, 403, 429, 408 and 5xx, and when there is no answer; the reason of the signal
   */
  async ask(question: Question, { signal, as = 'node' }: UpstreamRequest): Promise<OpenAnswer> {
    const { observer, exchange } = this.#components
    const { label, answerTimeoutMs } = this.#options
    const deadline = new Deadline(signal, answerTimeoutMs)
    try {
      const answer = await this.#askInTurn(question, as, deadline.signal)
      observer.asked(label, answer.status === 404 ? 'missing' : 'ok')
      return answer
    } catch (error) {
      signal.throwIfAborted()
      const failure = deadline.expired ? this.#error('UNAVAILABLE', 'did not answer in time') : exchange.failure(error)
      observer.asked(label, outcomeOf(failure.code))
      throw failure
    } finally {
      deadline.lift()
    }
  }

  /**
   * As {@link ask}, with the whole body of a 200.
   * @returns undefined for 404
   * @throws {UpstreamError} MALFORMED for a body of more than `maxBytes` and for any other status
   */
  async askForBytes(question: Question, request: UpstreamRequest, maxBytes: number): Promise<ReadAnswer | undefined> {
    const deadline = new Deadline(request.signal, this.#options.bodyTimeoutMs)
    try {
      const answer = await this.ask(question, { ...request, signal: deadline.signal })
      try {
        return await this.#read(answer, maxBytes)
      } finally {
        answer.release()
      }
    } catch (error) {
      request.signal.throwIfAborted()
      if (deadline.expired) throw this.#error('UNAVAILABLE', 'did not answer in time')
      throw this.#components.exchange.failure(error)
    } finally {
      deadline.lift()
    }
  }

  /** An answer that no rule of the protocol allows for. */
  unexpected({ status }: HttpAnswer): UpstreamError {
    return this.#error('MALFORMED', `answered ${status}`)
  }

  async #read(answer: OpenAnswer, maxBytes: number): Promise<ReadAnswer | undefined> {
    if (answer.status === 200) {
      return { headers: answer.headers, bytes: await readBody(answer, maxBytes, this.#options.registry) }
    }
    discard(answer)
    if (answer.status === 404) return undefined
    throw this.unexpected(answer)
  }

  /** Waits for a slot, unless the registry wants to be left alone. */
  async #askInTurn(question: Question, as: UpstreamIdentity, signal: AbortSignal): Promise<OpenAnswer> {
    const { limited, slots } = this.#components
    const pass = limited.enter(this.#whoAsks(question, as))
    if (typeof pass === 'number') {
      throw this.#error('RATE_LIMITED', 'has answered too many requests for now, and is left alone', pass)
    }
    let release = () => {}
    try {
      release = await (question.kind === 'blob' ? slots.blobs : slots.others).take(signal)
      const answer = await this.#attempt(question, as, signal)
      this.#note(answer, as)
      this.#refuseFailure(answer)
      if (pass.isProbe) pass.succeeded()
      this.#refuseEncoding(answer)
      return { ...answer, release }
    } catch (error) {
      release()
      noteLimit(pass, error)
      throw error
    } finally {
      pass.end()
    }
  }

  /** Shows one thing after the other, until the registry takes one. */
  async #attempt(question: Question, as: UpstreamIdentity, signal: AbortSignal): Promise<HttpAnswer> {
    const attempts = this.#components.authorizer.attempts({ name: question.name, as }, signal)
    let attempt = await attempts.next(NOTHING_REFUSED)
    for (;;) {
      if (attempt.done) throw this.#error('UNAUTHORIZED', 'wants a credential that there is not')
      const answer = await this.#send(question, attempt.value, signal)
      if (!this.#refuses(answer)) {
        await attempts.return(undefined)
        return answer
      }
      discard(answer)
      attempt = await attempts.next(answer)
      if (attempt.done) return answer
    }
  }

  /** Whether another credential might help; what an object store says of it is no word of the registry. */
  #refuses({ status, url }: HttpAnswer): boolean {
    return (status === 401 || status === 403) && url.origin === this.#options.origin.origin
  }

  /** An address that a store refuses may have been signed too long ago: the registry is asked once for another. */
  async #send(question: Question, shown: Shown, signal: AbortSignal): Promise<HttpAnswer> {
    const answer = await this.#follow(question, shown, signal)
    const isFromStore = answer.url.origin !== this.#options.origin.origin
    if (!isFromStore || !STORE_REFUSALS.has(answer.status)) return answer
    discard(answer)
    return await this.#follow(question, shown, signal)
  }

  #follow({ method, name, path, headers }: Question, shown: Shown, signal: AbortSignal): Promise<HttpAnswer> {
    const url = new URL(`/v2/${name}/${path}`, this.#options.origin)
    const authorization = shown === undefined ? {} : { authorization: shown }
    return this.#components.exchange.follow({ method, url, headers: { ...headers, ...authorization } }, signal)
  }

  #whoAsks({ kind, method }: Question, as: UpstreamIdentity): string {
    const isOwn = typeof as === 'string'
    const name = isOwn ? as : this.#components.fingerprint.of(as.authorization)
    return rateLimitKey(`${method} ${kind}`, { own: isOwn, name })
  }

  /** What a client's own account has left is nobody else's concern. */
  #note({ headers }: HttpAnswer, as: UpstreamIdentity): void {
    const told = typeof as === 'string' ? readRateLimit(headers) : undefined
    if (told !== undefined) this.#components.observer.rateLimit(this.#options.label, told)
  }

  #refuseFailure(answer: HttpAnswer): void {
    const { status, url, headers } = answer
    const code = failureOf(status, url.origin === this.#options.origin.origin)
    if (code === undefined) return
    discard(answer)
    throw this.#error(code, `answered ${status}`, parseRetryAfter(headers.get('retry-after'), Date.now()))
  }

  /** What was compressed on the way has another length and another digest. */
  #refuseEncoding(answer: HttpAnswer): void {
    const encodings = [...answer.headers.all('content-encoding'), ...answer.headers.all('transfer-encoding')]
    if (encodings.every((encoding) => /^(identity|chunked)$/i.test(encoding.trim()))) return
    discard(answer)
    throw this.#error('MALFORMED', 'encoded its answer, which it was asked not to do')
  }

  #error(code: UpstreamErrorCode, message: string, retryAfterMs?: number): UpstreamError {
    const { registry } = this.#options
    return new UpstreamError(
      code,
      registry,
      `${registry} ${message}`,
      retryAfterMs === undefined ? {} : { retryAfterMs }
    )
  }
}

/** With these a store answers to an address whose signature it does not take. */
const STORE_REFUSALS: ReadonlySet<number> = new Set([400, 401, 403])

/** What a generator is begun with is looked at by nobody. */
const NOTHING_REFUSED = undefined as never

function noteLimit(pass: Pass, error: unknown): void {
  if (isUpstreamError(error, 'RATE_LIMITED')) pass.failed({ pauseMs: error.retryAfterMs })
  else if (isUpstreamError(error) && pass.isProbe && ANSWERED.has(error.code)) pass.succeeded()
}

/** Failures that a registry tells of, which it would not do if it had too many requests. */
const ANSWERED: ReadonlySet<UpstreamErrorCode> = new Set(['UNAUTHORIZED', 'DENIED'])

/** What a status means; an object store refuses what it was not asked rightly, which is no word of the registry. */
function failureOf(status: number, fromRegistry: boolean): UpstreamErrorCode | undefined {
  if (status === 429) return 'RATE_LIMITED'
  if (status === 401 || status === 403) {
    if (!fromRegistry) return 'UNAVAILABLE'
    return status === 401 ? 'UNAUTHORIZED' : 'DENIED'
  }
  return status >= 500 || status === 408 ? 'UNAVAILABLE' : undefined
}

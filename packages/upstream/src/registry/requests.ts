import type { Authorizer, Shown } from '../auth/authorizer.ts'
import { UpstreamError, type UpstreamErrorCode } from '../errors.ts'
import { discard, type HttpAnswer } from '../http/answer.ts'
import type { Exchange } from '../http/exchange.ts'
import { readBody } from '../http/read-body.ts'
import type { UpstreamRequest } from '../interfaces.ts'
import type { Slots } from './slots.ts'

export interface RequestsComponents {
  readonly exchange: Exchange
  readonly authorizer: Authorizer
  readonly slots: Slots
}

export interface RequestsOptions {
  /** As repositories name it. */
  readonly registry: string
  readonly origin: URL
  /** From the request to the head of the last answer: waiting, tokens and redirects together. */
  readonly answerTimeoutMs: number
  /** The same, and the whole body of an answer that is read at once. */
  readonly bodyTimeoutMs: number
}

/** A question to the registry about a repository. */
export interface Question {
  readonly method: 'GET' | 'HEAD'
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
    const deadline = new Deadline(signal, this.#options.answerTimeoutMs)
    let release = () => {}
    try {
      release = await this.#components.slots.take(deadline.signal)
      const answer = await this.#attempt(question, as, deadline.signal)
      this.#refuseFailure(answer)
      this.#refuseEncoding(answer)
      return { ...answer, release }
    } catch (error) {
      release()
      if (signal.aborted) throw signal.reason
      if (deadline.expired) throw this.#error('UNAVAILABLE', 'it did not answer in time')
      throw this.#components.exchange.failure(error)
    } finally {
      deadline.end()
    }
  }

  /**
   * As {@link ask}, with the whole body of a 200.
   * @returns undefined for 404
   * @throws {UpstreamError} MALFORMED for a body of more than `maxBytes` and for any other status
   */
  async askForBytes(question: Question, request: UpstreamRequest, maxBytes: number): Promise<ReadAnswer | undefined> {
    const { exchange } = this.#components
    const deadline = new Deadline(request.signal, this.#options.bodyTimeoutMs)
    try {
      const answer = await this.ask(question, { ...request, signal: deadline.signal })
      try {
        if (answer.status === 200) {
          const bytes = await readBody(answer, maxBytes, this.#options.registry)
          return { headers: answer.headers, bytes }
        }
        discard(answer)
        if (answer.status === 404) return undefined
        throw this.unexpected(answer)
      } finally {
        answer.release()
      }
    } catch (error) {
      request.signal.throwIfAborted()
      if (deadline.expired) throw this.#error('UNAVAILABLE', 'it did not answer in time')
      throw exchange.failure(error)
    } finally {
      deadline.end()
    }
  }

  /** An answer that no rule of the protocol allows for. */
  unexpected({ status }: HttpAnswer): UpstreamError {
    return this.#error('MALFORMED', `it answered ${status}`)
  }

  async #attempt(question: Question, as: NonNullable<UpstreamRequest['as']>, signal: AbortSignal): Promise<HttpAnswer> {
    const { authorizer } = this.#components
    const attempts = authorizer.attempts({ name: question.name, as }, signal)
    let attempt = await attempts.next(undefined as never)
    for (;;) {
      if (attempt.done) throw this.#error('UNAUTHORIZED', 'nothing could be shown to it')
      const answer = await this.#send(question, attempt.value, signal)
      if (answer.status !== 401 && answer.status !== 403) {
        await attempts.return(undefined)
        return answer
      }
      attempt = await attempts.next(answer)
      if (attempt.done) return answer
      discard(answer)
    }
  }

  #send({ method, name, path, headers }: Question, shown: Shown, signal: AbortSignal): Promise<HttpAnswer> {
    const url = new URL(`/v2/${name}/${path}`, this.#options.origin)
    const authorization = shown === undefined ? {} : { authorization: shown }
    return this.#components.exchange.follow({ method, url, headers: { ...headers, ...authorization } }, signal)
  }

  #refuseFailure(answer: HttpAnswer): void {
    const { status, url } = answer
    const code = failureOf(status, url.origin === this.#options.origin.origin)
    if (code === undefined) return
    discard(answer)
    throw this.#error(code, `it answered ${status}`)
  }

  /** What was compressed on the way has another length and another digest. */
  #refuseEncoding(answer: HttpAnswer): void {
    const encodings = [...answer.headers.all('content-encoding'), ...answer.headers.all('transfer-encoding')]
    if (encodings.every((encoding) => /^(identity|chunked)$/i.test(encoding.trim()))) return
    discard(answer)
    throw this.#error('MALFORMED', 'it encoded its answer, which it was asked not to do')
  }

  #error(code: UpstreamErrorCode, message: string): UpstreamError {
    const { registry } = this.#options
    return new UpstreamError(code, registry, `${registry}: ${message}`)
  }
}

/** What a status means; an object store refuses what it was not asked rightly, which is no word of the registry. */
function failureOf(status: number, fromRegistry: boolean): UpstreamErrorCode | undefined {
  if (status === 429) return 'RATE_LIMITED'
  if (status === 401 || status === 403)
    return fromRegistry ? (status === 401 ? 'UNAUTHORIZED' : 'DENIED') : 'UNAVAILABLE'
  return status >= 500 || status === 408 ? 'UNAVAILABLE' : undefined
}

/** A time limit that can be lifted, beside a signal that goes on counting. */
class Deadline {
  readonly signal: AbortSignal
  readonly #limit = new AbortController()
  readonly #timer: NodeJS.Timeout

  constructor(outer: AbortSignal, ms: number) {
    this.signal = AbortSignal.any([outer, this.#limit.signal])
    this.#timer = setTimeout(() => this.#limit.abort(new DOMException('the time is up', 'TimeoutError')), ms)
  }

  get expired(): boolean {
    return this.#limit.signal.aborted
  }

  /** Lifts the time limit. */
  end(): void {
    clearTimeout(this.#timer)
  }
}

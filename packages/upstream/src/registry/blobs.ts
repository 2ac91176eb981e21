import { setTimeout as sleep } from 'node:timers/promises'
import { type Digest, digestAlgorithm, isDigest } from '@layermesh/oci'
import { isUpstreamError, UpstreamError, type UpstreamErrorCode } from '../errors.ts'
import { type AnswerHeaders, discard } from '../http/answer.ts'
import type { Exchange } from '../http/exchange.ts'
import type { FetchedBlob, UpstreamRequest } from '../interfaces.ts'
import { partOf, sizeOfPart, sizeOfUnsatisfied, wholeOf } from './content-range.ts'
import type { OpenAnswer, Question, Requests } from './requests.ts'

export interface UpstreamBlobsComponents {
  readonly requests: Requests
  readonly exchange: Exchange
}

export interface UpstreamBlobsOptions {
  /** As repositories name it, for messages. */
  readonly registry: string
  /** Before each attempt to go on with a blob that broke off. */
  readonly resumeDelaysMs: readonly number[]
  /** After that time the connection of a blob that nobody reads is let go of. */
  readonly unclaimedMs: number
}

/** Which blob, and who asks for it. */
interface Wanted {
  readonly name: string
  readonly digest: Digest
  readonly request: UpstreamRequest
}

/** A blob as it begins to come. */
interface OpenPart {
  /** Offset of its first byte. */
  readonly start: number
  /** Of the whole blob. */
  readonly size: number
  /** Undefined when there are no more bytes. */
  readonly answer: OpenAnswer | undefined
}

/** So many bytes more than at the last attempt are progress, so that attempts are counted anew. */
const PROGRESS_BYTES = 1024 * 1024
/** Of these it may be that the next attempt goes well. */
const PASSING: ReadonlySet<UpstreamErrorCode> = new Set(['UNAVAILABLE', 'UNREACHABLE'])

/** The blobs of a registry. */
export class UpstreamBlobs {
  readonly #components: UpstreamBlobsComponents
  readonly #options: UpstreamBlobsOptions

  constructor(components: UpstreamBlobsComponents, options: UpstreamBlobsOptions) {
    this.#components = components
    this.#options = options
  }

  /** By `HEAD`; a store may take only `GET` for what the registry signed, so that one byte is asked for then. @throws {UpstreamError} */
  async head(name: string, digest: Digest, request: UpstreamRequest): Promise<number | undefined> {
    const answer = await this.#headAnswer(name, digest, request)
    if (answer?.status === 404) return undefined
    return (answer && lengthOf(answer)) ?? (await this.#sizeByRange(name, digest, request))
  }

  async #headAnswer(name: string, digest: Digest, request: UpstreamRequest): Promise<OpenAnswer | undefined> {
    try {
      const answer = await this.#components.requests.ask(questionFor('HEAD', name, digest), request)
      letGo(answer)
      return answer
    } catch (error) {
      if (!isUpstreamError(error, 'UNAVAILABLE')) throw error
      return undefined
    }
  }

  async #sizeByRange(name: string, digest: Digest, request: UpstreamRequest): Promise<number | undefined> {
    const { requests } = this.#components
    const answer = await requests.ask(questionFor('GET', name, digest, '0-0'), request)
    letGo(answer)
    if (answer.status === 404) return undefined
    const size = lengthOf(answer)
    if (size === undefined) throw this.#error('MALFORMED', 'does not tell the length of a blob')
    return size
  }

  /** @throws {UpstreamError} */
  async open(name: string, digest: Digest, start: number, request: UpstreamRequest): Promise<FetchedBlob | undefined> {
    const wanted = { name, digest, request }
    const part = await this.#openPart(wanted, start)
    if (part === undefined) return undefined
    return { size: part.size, body: this.#resuming(wanted, part, start, this.#letGoUnclaimed(part)) }
  }

  /** Who asked may have gone away before it read anything. */
  #letGoUnclaimed({ answer }: OpenPart): () => void {
    const timer = setTimeout(() => answer && letGo(answer), this.#options.unclaimedMs)
    return () => clearTimeout(timer)
  }

  /** @returns the part that begins at `start` or before */
  async #openPart({ name, digest, request }: Wanted, start: number): Promise<OpenPart | undefined> {
    const answer = await this.#components.requests.ask(
      questionFor('GET', name, digest, start === 0 ? undefined : `${start}-`),
      request
    )
    let part: OpenPart | undefined
    try {
      part = this.#partOf(answer, digest, start)
      return part
    } finally {
      if (part?.answer === undefined) letGo(answer)
    }
  }

  #partOf(answer: OpenAnswer, digest: Digest, start: number): OpenPart | undefined {
    const { status, headers } = answer
    if (status === 404) return undefined
    if (status === 416 && sizeOfUnsatisfied(headers) === start) return { start, size: start, answer: undefined }
    if (tellsOtherDigest(headers, digest)) throw this.#error('MALFORMED', 'gave another blob than it was asked for')
    const part = status === 200 ? wholeOf(headers) : status === 206 ? partOf(headers) : undefined
    if (part !== undefined && part.start <= start && start <= part.size) return { ...part, answer }
    throw this.#error('MALFORMED', `answered ${status} to a question for a blob, without a length and range that fit`)
  }

  /** The bytes from `start`, over as many connections as it takes. */
  async *#resuming(
    wanted: Wanted,
    first: OpenPart,
    start: number,
    claim: () => void
  ): AsyncGenerator<Uint8Array, undefined> {
    claim()
    const attempts = new ResumeAttempts(start, this.#options.resumeDelaysMs)
    let part = first
    let at = start
    for (;;) {
      try {
        for await (const chunk of this.#bytesOf(part, at)) {
          at += chunk.length
          yield chunk
        }
        return
      } catch (error) {
        part = await this.#resume(wanted, first, at, attempts, error)
      }
    }
  }

  /** @param error why it can't go on by itself @throws {UpstreamError} when it is not to be had any more */
  async #resume(
    wanted: Wanted,
    first: OpenPart,
    at: number,
    attempts: ResumeAttempts,
    error: unknown
  ): Promise<OpenPart> {
    const { signal } = wanted.request
    for (let failed = error; ; ) {
      signal.throwIfAborted()
      const failure = this.#components.exchange.failure(failed)
      const delayMs = PASSING.has(failure.code) ? attempts.next(at) : undefined
      if (delayMs === undefined) throw failure
      await sleep(delayMs, undefined, { signal }).catch(() => signal.throwIfAborted())
      try {
        return await this.#reopen(wanted, first, at)
      } catch (again) {
        failed = again
      }
    }
  }

  async #reopen(wanted: Wanted, first: OpenPart, at: number): Promise<OpenPart> {
    const part = await this.#openPart(wanted, at)
    if (part === undefined) throw this.#error('UNAVAILABLE', 'has a blob no more that it began to give')
    if (part.size === first.size && !isOtherEntity(first, part)) return part
    if (part.answer !== undefined) letGo(part.answer)
    throw this.#error('MALFORMED', 'changed a blob while it gave it')
  }

  /** What comes over one connection, from `start`; leaving the loop ends that. */
  async *#bytesOf({ answer, start: first, size }: OpenPart, start: number): AsyncGenerator<Uint8Array, undefined> {
    if (answer === undefined) return
    let at = first
    try {
      for await (const chunk of answer.body as AsyncIterable<Buffer>) {
        const skipped = Math.max(0, start - at)
        at += chunk.length
        if (at > size) throw this.#error('MALFORMED', 'sent more of a blob than it said')
        if (skipped < chunk.length) yield chunk.subarray(skipped)
      }
    } finally {
      answer.release()
    }
    if (at < size) throw this.#error('UNAVAILABLE', 'broke off in a blob')
  }

  #error(code: UpstreamErrorCode, message: string): UpstreamError {
    const { registry } = this.#options
    return new UpstreamError(code, registry, `${registry} ${message}`)
  }
}

/** How often a blob that broke off may be asked for anew: as often again once some more of it has come. */
class ResumeAttempts {
  readonly #delaysMs: readonly number[]
  #from: number
  #count = 0

  constructor(start: number, delaysMs: readonly number[]) {
    this.#from = start
    this.#delaysMs = delaysMs
  }

  /** How long to wait before the next; undefined when there is none. */
  next(at: number): number | undefined {
    if (at - this.#from >= PROGRESS_BYTES) {
      this.#from = at
      this.#count = 0
    }
    return this.#delaysMs[this.#count++]
  }
}

/** A digest of another algorithm may be told of the same bytes. */
function tellsOtherDigest(headers: AnswerHeaders, digest: Digest): boolean {
  const told = headers.get('docker-content-digest')
  return isDigest(told) && digestAlgorithm(told) === digestAlgorithm(digest) && told !== digest
}

/** Other stores than the one before may name the same bytes in another way. */
function isOtherEntity({ answer: one }: OpenPart, { answer: other }: OpenPart): boolean {
  if (one === undefined || other === undefined || one.url.host !== other.url.host) return false
  const [before, after] = [one.headers.get('etag'), other.headers.get('etag')]
  return before !== undefined && after !== undefined && before !== after
}

function letGo(answer: OpenAnswer): void {
  discard(answer)
  answer.release()
}

/** Of the whole blob, whatever part of it this is; undefined when it is not told. */
function lengthOf({ status, headers }: OpenAnswer): number | undefined {
  return status === 200 ? headers.length : status === 206 ? sizeOfPart(headers) : undefined
}

function questionFor(method: Question['method'], name: string, digest: Digest, range?: string): Question {
  const headers = { accept: '*/*', ...(range === undefined ? {} : { range: `bytes=${range}` }) }
  return { method, kind: 'blob', name, path: `blobs/${digest}`, headers }
}

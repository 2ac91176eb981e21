import type { Digest } from '@layermesh/oci'
import { UpstreamError, type UpstreamErrorCode } from '../errors.ts'
import { discard } from '../http/answer.ts'
import type { Exchange } from '../http/exchange.ts'
import type { FetchedBlob, UpstreamRequest } from '../interfaces.ts'
import { partOf, sizeOfUnsatisfied, wholeOf } from './content-range.ts'
import type { OpenAnswer, Question, Requests } from './requests.ts'

export interface UpstreamBlobsComponents {
  readonly requests: Requests
  readonly exchange: Exchange
}

/** A blob as it begins to come. */
interface OpenPart {
  /** Offset of its first byte. */
  readonly start: number
  readonly size: number
  /** Undefined when there are no more bytes. */
  readonly answer: OpenAnswer | undefined
}

/** The blobs of a registry. */
export class UpstreamBlobs {
  readonly #components: UpstreamBlobsComponents
  readonly #registry: string

  /** @param registry for messages */
  constructor(components: UpstreamBlobsComponents, registry: string) {
    this.#components = components
    this.#registry = registry
  }

  /** @throws {UpstreamError} */
  async head(name: string, digest: Digest, request: UpstreamRequest): Promise<number | undefined> {
    const answer = await this.#components.requests.ask(questionFor('HEAD', name, digest), request)
    discard(answer)
    answer.release()
    if (answer.status === 404) return undefined
    if (answer.status !== 200) throw this.#components.requests.unexpected(answer)
    const { length } = answer.headers
    if (length === undefined) throw this.#error('MALFORMED', 'does not tell the length of a blob')
    return length
  }

  /** @throws {UpstreamError} */
  async open(name: string, digest: Digest, start: number, request: UpstreamRequest): Promise<FetchedBlob | undefined> {
    const part = await this.#openPart(name, digest, start, request)
    return part && { size: part.size, body: this.#body(part, start) }
  }

  async #openPart(
    name: string,
    digest: Digest,
    start: number,
    request: UpstreamRequest
  ): Promise<OpenPart | undefined> {
    const answer = await this.#components.requests.ask(questionFor('GET', name, digest, start), request)
    const part = this.#partOf(answer, start)
    if (part?.answer === undefined) {
      discard(answer)
      answer.release()
    }
    return part
  }

  #partOf(answer: OpenAnswer, start: number): OpenPart | undefined {
    const { status, headers } = answer
    if (status === 404) return undefined
    const size = status === 416 ? sizeOfUnsatisfied(headers) : undefined
    if (size === start) return { start, size, answer: undefined }
    const part = status === 200 ? wholeOf(headers) : status === 206 ? partOf(headers) : undefined
    if (part !== undefined && part.start <= start && start <= part.size) return { ...part, answer }
    discard(answer)
    answer.release()
    throw this.#error('MALFORMED', `answered ${status} to a blob without a length or range that fits`)
  }

  async *#body({ start, size, answer }: OpenPart, wanted: number): AsyncGenerator<Uint8Array, undefined> {
    if (answer === undefined) return
    let at = start
    try {
      for await (const chunk of answer.body as AsyncIterable<Buffer>) {
        const skipped = Math.max(0, wanted - at)
        at += chunk.length
        if (at > size) throw this.#error('MALFORMED', 'sent more of a blob than it said')
        if (skipped < chunk.length) yield chunk.subarray(skipped)
      }
      if (at < size) throw this.#error('UNAVAILABLE', 'broke off in a blob')
    } catch (error) {
      throw this.#components.exchange.failure(error)
    } finally {
      answer.release()
    }
  }

  #error(code: UpstreamErrorCode, message: string): UpstreamError {
    return new UpstreamError(code, this.#registry, `${this.#registry} ${message}`)
  }
}

function questionFor(method: Question['method'], name: string, digest: Digest, start = 0): Question {
  const range = start === 0 ? {} : { range: `bytes=${start}-` }
  return { method, name, path: `blobs/${digest}`, headers: { accept: '*/*', ...range } }
}

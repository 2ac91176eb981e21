import type { Dispatcher } from 'undici'

/** An HTTP request for a registry or what it leads to. */
export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST'
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

/** What came back; the body is read, or discarded. */
export interface HttpAnswer {
  readonly status: number
  /** Where it came from, after redirects. */
  readonly url: URL
  readonly headers: AnswerHeaders
  readonly body: Dispatcher.ResponseData['body']
}

/** The headers of an answer. */
export class AnswerHeaders {
  readonly #fields: Readonly<Record<string, string | string[] | undefined>>

  constructor(fields: Readonly<Record<string, string | string[] | undefined>>) {
    this.#fields = fields
  }

  /** All values of a field, by its name in small letters. */
  all(name: string): readonly string[] {
    const value = this.#fields[name]
    return value === undefined ? [] : typeof value === 'string' ? [value] : value
  }

  /** The value of a field that stands there once. */
  get(name: string): string | undefined {
    return this.all(name)[0]
  }

  /** `Content-Length` in bytes; undefined when it is not told. */
  get length(): number | undefined {
    const text = this.get('content-length')
    return text !== undefined && /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined
  }
}

/** Of a body that nobody needs so much is read, and for so long, so that the connection can be used again. */
const MAX_DISCARDED_BYTES = 64 * 1024
const DISCARD_MS = 2_000

/** Lets go of a body that nobody needs. */
export function discard({ body }: HttpAnswer): void {
  body.dump({ limit: MAX_DISCARDED_BYTES, signal: AbortSignal.timeout(DISCARD_MS) }).catch(() => {})
}

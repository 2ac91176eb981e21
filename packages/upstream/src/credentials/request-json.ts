import { Agent, type Dispatcher, ProxyAgent, request } from 'undici'
import type { ProxyChoice } from '../proxy/proxy.ts'
import { parseJson } from './parse-json.ts'

export interface FormRequest {
  readonly url: URL
  /** Sent by POST; without it, the URL is asked for by GET. */
  readonly form?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  readonly ca?: string | undefined
  readonly proxyFor: ProxyChoice
  readonly signal: AbortSignal
}

export interface JsonAnswer {
  readonly status: number
  /** Undefined when it was no JSON. */
  readonly body: unknown
}

const MAX_ANSWER_BYTES = 256 * 1024

/**
 * Sends a form, follows no redirect, and reads JSON.
 * @throws {RangeError} when the answer is too long; errors with a `code` when nobody answers, which hold nothing of the form
 */
export async function requestJson({ url, form, headers, ca, proxyFor, signal }: FormRequest): Promise<JsonAnswer> {
  const dispatcher = dispatcherFor(url, ca, proxyFor)
  try {
    const { statusCode, body } = await request(url, {
      dispatcher,
      signal,
      method: form === undefined ? 'GET' : 'POST',
      headers: {
        accept: 'application/json',
        ...(form === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
        ...headers
      },
      body: form === undefined ? null : new URLSearchParams(form).toString()
    })
    const chunks: Buffer[] = []
    let length = 0
    for await (const chunk of body as AsyncIterable<Buffer>) {
      length += chunk.length
      if (length > MAX_ANSWER_BYTES) throw new RangeError(`answered with more than ${MAX_ANSWER_BYTES} bytes`)
      chunks.push(chunk)
    }
    return { status: statusCode, body: parseJson(Buffer.concat(chunks).toString('utf8')) }
  } finally {
    await dispatcher.destroy()
  }
}

function dispatcherFor(url: URL, ca: string | undefined, proxyFor: ProxyChoice): Dispatcher {
  const proxy = proxyFor(url)
  const tls = ca === undefined ? {} : { ca }
  if (proxy === undefined) return new Agent({ pipelining: 0, connect: tls })
  const token = proxy.authorization === undefined ? {} : { token: proxy.authorization }
  return new ProxyAgent({ uri: proxy.origin, ...token, requestTls: tls })
}

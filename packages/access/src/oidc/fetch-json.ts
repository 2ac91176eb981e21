import { get as httpGet } from 'node:http'
import { get as httpsGet } from 'node:https'

export interface FetchJsonOptions {
  /** PEM of the authorities that are trusted instead of the usual ones. */
  readonly ca?: string
  readonly signal: AbortSignal
  /** @default 1 MiB */
  readonly maxBytes?: number
}

const MAX_BYTES = 1024 * 1024

/** Fetches a JSON document. Follows no redirect, and reads no more than `maxBytes`. @throws {Error} saying what was wrong */
export function fetchJson(url: URL, { ca, signal, maxBytes = MAX_BYTES }: FetchJsonOptions): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>()
  const get = url.protocol === 'https:' ? httpsGet : httpGet
  const options = { headers: { Accept: 'application/json' }, agent: false, signal, ...(ca === undefined ? {} : { ca }) }
  const request = get(url, options, (response) => {
    if (response.statusCode !== 200) {
      request.destroy(new Error(`${url.href} answered with ${response.statusCode}`))
      return
    }
    const chunks: Buffer[] = []
    let length = 0
    response.on('data', (chunk: Buffer) => {
      length += chunk.length
      chunks.push(chunk)
      if (length > maxBytes) request.destroy(new Error(`${url.href} answered with more than ${maxBytes} bytes`))
    })
    response.on('error', reject)
    response.on('end', () => {
      try {
        resolve(JSON.parse(Buffer.concat(chunks).toString('utf8')))
      } catch (cause) {
        reject(new Error(`${url.href} answered with no JSON`, { cause }))
      }
    })
  })
  request.on('error', reject)
  return promise
}

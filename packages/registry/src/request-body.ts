import type { IncomingMessage, ServerResponse } from 'node:http'
import { OciError } from '@layermesh/oci'
import { ChunkGatherer } from './chunk-gatherer.ts'
import { StatusError } from './errors.ts'

/** Tells whether a body comes with the request. */
export function hasBody(request: IncomingMessage): boolean {
  return request.headers['transfer-encoding'] !== undefined || (contentLength(request) ?? 0) > 0
}

/** The length that the client promised, in bytes; undefined when it did not. Node has checked that it is a number. */
export function contentLength(request: IncomingMessage): number | undefined {
  const text = request.headers['content-length']
  return text === undefined ? undefined : Number(text)
}

/** Counts bodies that are being received, up to a bound. */
export class BodyGate {
  readonly #limit: number
  #open = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Lets one body in and returns what lets it out. @throws {OciError} TOOMANYREQUESTS */
  enter(): () => void {
    if (this.#open >= this.#limit) {
      throw new OciError('TOOMANYREQUESTS', 'too many pushes at once; try again in a few seconds')
    }
    this.#open++
    return () => {
      this.#open--
    }
  }
}

/**
 * The body of a request, read once. When its reader stops early the connection stays open, so that the client can be
 * told why. The memory of a chunk is used again once the next one is asked for.
 */
export class RequestBody implements AsyncIterable<Uint8Array> {
  /** How many bytes were read so far. */
  bytes = 0
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #idleTimeoutMs: number

  constructor(exchange: { request: IncomingMessage; response: ServerResponse }, idleTimeoutMs: number) {
    this.#request = exchange.request
    this.#response = exchange.response
    this.#idleTimeoutMs = idleTimeoutMs
  }

  /** @throws {StatusError} 408 when the client pauses too long; what Node throws when it leaves */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    if (this.#request.headers.expect !== undefined) this.#response.writeContinue()
    const gatherer = new ChunkGatherer(this.#request)
    const wait = (arrival: Promise<void>) => withinIdleTime(arrival, this.#idleTimeoutMs)
    try {
      for (;;) {
        const chunk = await gatherer.next(wait)
        if (chunk === undefined) return
        this.bytes += chunk.byteLength
        yield chunk
      }
    } finally {
      gatherer.stop()
    }
  }

  /** The whole body. @throws {OciError} MANIFEST_TOO_LARGE beyond `maxBytes` */
  async whole(maxBytes: number): Promise<Uint8Array> {
    const tooLarge = () => new OciError('MANIFEST_TOO_LARGE', `a manifest has at most ${maxBytes} bytes`)
    if ((contentLength(this.#request) ?? 0) > maxBytes) throw tooLarge()
    const chunks: Uint8Array[] = []
    for await (const chunk of this) {
      if (this.bytes > maxBytes) throw tooLarge()
      chunks.push(new Uint8Array(chunk))
    }
    return Buffer.concat(chunks)
  }
}

function withinIdleTime<T>(waited: Promise<T>, idleTimeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new StatusError(408, 'BLOB_UPLOAD_INVALID', `no byte came for ${idleTimeoutMs} ms`))
    }, idleTimeoutMs)
    const settle = <V>(act: (value: V) => void) => {
      return (value: V) => {
        clearTimeout(timer)
        act(value)
      }
    }
    waited.then(settle(resolve), settle(reject))
  })
}

/**
 * Reads what is left of a body that nobody wanted, within bounds, so that the client sees its answer and can use the
 * connection again; beyond them the connection is cut.
 */
export function discardBody(request: IncomingMessage, limits: { maxBytes: number; timeoutMs: number }): void {
  if (request.readableEnded || request.destroyed) return
  const { socket } = request
  let left = limits.maxBytes
  const timer = setTimeout(() => socket.destroy(), limits.timeoutMs)
  request.on('data', (chunk: Uint8Array) => {
    left -= chunk.byteLength
    if (left < 0) socket.destroy()
  })
  request.once('close', () => clearTimeout(timer))
  request.on('error', () => socket.destroy())
  request.resume()
}

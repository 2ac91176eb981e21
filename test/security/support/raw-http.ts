import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** An answer as it came, read by hand: no client library has mended or hidden anything. */
export interface RawAnswer {
  readonly status: number
  /** Names in lower case; of a header that came twice, the values joined with a comma. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
}

/** Far longer than a server waits for the rest of a head. */
const TIMEOUT_MS = 120_000
const HEAD_END = Buffer.from('\r\n\r\n')

/** A TCP connection to a server, on which bytes go out exactly as they are given. */
export class RawHttp {
  readonly #socket: Socket
  #received = Buffer.alloc(0)
  #closed = false
  #woken = Promise.withResolvers<void>()

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#wake()
    })
    socket.on('error', () => {})
    socket.once('close', () => {
      this.#closed = true
      this.#wake()
    })
  }

  static async open(url: string): Promise<RawHttp> {
    const { hostname, port } = new URL(url)
    const socket = connect({ host: hostname, port: Number(port) })
    await once(socket, 'connect')
    return new RawHttp(socket)
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Sends text as latin1, so that each character is a byte. @returns whether the socket asks for more */
  write(bytes: string | Uint8Array): boolean {
    return typeof bytes === 'string' ? this.#socket.write(bytes, 'latin1') : this.#socket.write(bytes)
  }

  /** Tells the server that nothing more comes. */
  end(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  /** Stops taking what the server sends. */
  pause(): void {
    this.#socket.pause()
  }

  /** Resolves when the server takes bytes again, or has closed the connection. */
  async drained(): Promise<void> {
    await Promise.race([once(this.#socket, 'drain'), this.#untilClosed()]).catch(() => {})
  }

  /** The next answer; undefined when the server closed the connection without one. */
  async answer(method = 'GET', timeoutMs = TIMEOUT_MS): Promise<RawAnswer | undefined> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      const parsed = parseAnswer(this.#received, method, this.#closed)
      if (parsed !== undefined) {
        this.#received = this.#received.subarray(parsed.length)
        if (parsed.answer.status !== 100) return parsed.answer
        continue
      }
      if (this.#closed) return undefined
      await this.#arrival(deadline)
    }
  }

  async #untilClosed(): Promise<void> {
    while (!this.#closed) await this.#woken.promise
  }

  async #arrival(deadline: number): Promise<void> {
    const { promise, reject } = Promise.withResolvers<never>()
    const timer = setTimeout(() => reject(new Error('no answer came in time')), deadline - performance.now())
    await Promise.race([this.#woken.promise, promise]).finally(() => clearTimeout(timer))
  }

  #wake(): void {
    this.#woken.resolve()
    this.#woken = Promise.withResolvers()
  }
}

/**
 * Sends bytes on a connection of their own and gives the first answer; undefined when the server closes the connection
 * without one. A server that waits for more is told that nothing more comes.
 */
export async function exchange(
  url: string,
  request: string | Uint8Array,
  { method = 'GET', quietMs = TIMEOUT_MS }: { readonly method?: string; readonly quietMs?: number } = {}
): Promise<RawAnswer | undefined> {
  const connection = await RawHttp.open(url)
  connection.write(request)
  try {
    return await connection.answer(method, quietMs).catch(() => {
      connection.end()
      return connection.answer(method)
    })
  } finally {
    connection.destroy()
  }
}

/** A request without a body, its target as it is. */
export function requestBytes(method: string, target: string, headers: readonly string[] = []): string {
  return `${[`${method} ${target} HTTP/1.1`, 'Host: localhost', ...headers].join('\r\n')}\r\n\r\n`
}

function parseAnswer(
  received: Buffer,
  method: string,
  closed: boolean
): { answer: RawAnswer; length: number } | undefined {
  const headEnd = received.indexOf(HEAD_END)
  if (headEnd < 0) return undefined
  const [statusLine = '', ...lines] = received.subarray(0, headEnd).toString('latin1').split('\r\n')
  const status = Number(/^HTTP\/1\.[01] (\d{3}) /.exec(`${statusLine} `)?.[1])
  if (!Number.isInteger(status)) throw new Error(`no HTTP: ${statusLine}`)
  const headers = new Map<string, string>()
  for (const line of lines) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    headers.set(name, headers.has(name) ? `${headers.get(name)}, ${value}` : value)
  }
  const start = headEnd + HEAD_END.length
  const body = readBody(received.subarray(start), { status, headers, method, closed })
  return body && { answer: { status, headers, body: body.bytes }, length: start + body.length }
}

function readBody(
  rest: Buffer,
  answer: { status: number; headers: ReadonlyMap<string, string>; method: string; closed: boolean }
): { bytes: Buffer; length: number } | undefined {
  const { status, headers, method, closed } = answer
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304)
    return { bytes: Buffer.alloc(0), length: 0 }
  if (headers.get('transfer-encoding') === 'chunked') return readChunked(rest)
  const length = headers.get('content-length')
  if (length === undefined) return closed ? { bytes: rest, length: rest.length } : undefined
  if (rest.length >= Number(length)) return { bytes: rest.subarray(0, Number(length)), length: Number(length) }
  return undefined
}

function readChunked(rest: Buffer): { bytes: Buffer; length: number } | undefined {
  const parts: Buffer[] = []
  let at = 0
  for (;;) {
    const lineEnd = rest.indexOf('\r\n', at)
    if (lineEnd < 0) return undefined
    const size = Number.parseInt(rest.subarray(at, lineEnd).toString('latin1'), 16)
    const start = lineEnd + 2
    if (rest.length < start + size + 2) return undefined
    parts.push(rest.subarray(start, start + size))
    at = start + size + 2
    if (size === 0) return { bytes: Buffer.concat(parts), length: at }
  }
}

import { type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from 'node:http'
import { type RequestOptions as HttpsOptions, request as requestSecurely } from 'node:https'
import { connect } from 'node:net'

/** A whole answer. */
export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  /** The body, read as JSON. */
  json(): unknown
  /** The code of the first error that the body tells of. */
  errorCode(): string | undefined
}

export interface RequestOptions {
  readonly headers?: OutgoingHttpHeaders
  readonly body?: Uint8Array | string
}

/** How a client speaks TLS. */
export type TlsOptions = Pick<HttpsOptions, 'agent' | 'ca' | 'cert' | 'key' | 'maxVersion'>

/** Sends requests to one server with Node's own client; the path goes out exactly as it is given. */
export class TestClient {
  readonly port: number
  readonly #tls: TlsOptions | undefined

  /** @param tls to speak TLS; its `agent` is used when there is one */
  constructor(port: number, tls?: TlsOptions) {
    this.port = port
    this.#tls = tls
  }

  send(method: string, path: string, { headers = {}, body }: RequestOptions = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const options = {
        host: '127.0.0.1',
        port: this.port,
        method,
        path,
        headers,
        agent: false,
        servername: 'localhost',
        ...this.#tls
      }
      const outgoing = (this.#tls === undefined ? request : requestSecurely)(options, (incoming) => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('error', reject)
        incoming.on('end', () => resolve(answer(incoming.statusCode ?? 0, incoming.headers, Buffer.concat(chunks))))
      })
      outgoing.on('error', reject)
      outgoing.end(body)
    })
  }

  get(path: string, headers: OutgoingHttpHeaders = {}): Promise<Answer> {
    return this.send('GET', path, { headers })
  }

  head(path: string, headers: OutgoingHttpHeaders = {}): Promise<Answer> {
    return this.send('HEAD', path, { headers })
  }

  /** Opens a bare connection, for what no well-behaved client would do. */
  raw(): RawConnection {
    return new RawConnection(this.port)
  }
}

/** A connection on which bytes go out as they are. */
export class RawConnection {
  readonly #socket
  #received = ''
  readonly #closed: Promise<void>

  constructor(port: number) {
    this.#socket = connect(port, '127.0.0.1')
    this.#socket.setEncoding('latin1')
    this.#socket.on('data', (text: string) => {
      this.#received += text
    })
    this.#closed = new Promise((resolve) => this.#socket.once('close', () => resolve()))
    this.#socket.on('error', () => {})
  }

  write(text: string): void {
    this.#socket.write(text, 'latin1')
  }

  /** Leaves at once, without a goodbye. */
  reset(): void {
    this.#socket.resetAndDestroy()
  }

  end(): void {
    this.#socket.end()
  }

  /** Stops taking what the server sends. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** Resolves with all that came once `pattern` is among it. */
  async until(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.#received)) {
      await new Promise((resolve, reject) => {
        this.#socket.once('data', resolve)
        this.#socket.once('close', () => reject(new Error(`closed after: ${this.#received}`)))
      })
    }
    return this.#received
  }

  /** Resolves with all that came once the server has closed the connection. */
  async closed(): Promise<string> {
    await this.#closed
    return this.#received
  }
}

function answer(status: number, headers: IncomingHttpHeaders, body: Buffer): Answer {
  const json = () => JSON.parse(body.toString())
  return { status, headers, body, json, errorCode: () => json().errors?.[0]?.code }
}

import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { listen } from '../ports.ts'

/** Certificate and key in PEM. */
export interface TlsIdentity {
  readonly cert: Buffer
  readonly key: Buffer
}

/** An HTTP server that can be stopped, so that connections are refused, and started again at the same port. */
export class Listener {
  readonly #listener: RequestListener
  readonly #address: string
  readonly #tls: TlsIdentity | undefined
  #server: Server | undefined
  #port = 0

  constructor(address: string, tls: TlsIdentity | undefined, listener: RequestListener) {
    this.#address = address
    this.#tls = tls
    this.#listener = listener
  }

  /** `ADDRESS:PORT`. */
  get host(): string {
    return `${this.#address}:${this.#port}`
  }

  get url(): string {
    return `${this.#tls === undefined ? 'http' : 'https'}://${this.host}`
  }

  async start(): Promise<void> {
    if (this.#server !== undefined) return
    const server = this.#tls === undefined ? createServer() : createTlsServer(this.#tls)
    server.on('request', this.#listener)
    this.#port = await listen(server, this.#address, this.#port)
    this.#server = server
  }

  /** Ends all connections, and refuses others. */
  async stop(): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    this.#server = undefined
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  }
}

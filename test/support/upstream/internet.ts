import { createServer, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Authority } from '../certificates.ts'
import { listen } from '../ports.ts'
import type { Sandbox } from '../sandbox.ts'

/**
 * What clients of a test take for the internet: an HTTP proxy that leads the names of registries to upstreams of the
 * test, and nowhere else. So a client that goes to `registry-1.docker.io` itself, because its mirror could not help, is
 * seen doing so, and none leaves this machine. The certificate of an upstream has to be good for the name.
 */
export class Internet {
  /** Names to which clients went, in order. */
  readonly visits: string[] = []
  readonly #routes = new Map<string, string>()
  readonly #sockets = new Set<Duplex>()
  readonly #caFile: string
  #port = 0

  private constructor(caFile: string) {
    this.#caFile = caFile
  }

  /** @param authority whom clients trust */
  static async open(sandbox: Sandbox, authority: Authority): Promise<Internet> {
    const internet = new Internet(authority.file)
    const server = createServer((_request, response) => void response.writeHead(502).end())
    server.on('connect', (request: IncomingMessage, socket: Duplex) => internet.#connect(request.url ?? '', socket))
    internet.#port = await listen(server)
    sandbox.defer(async () => {
      server.close()
      for (const socket of internet.#sockets) socket.destroy()
    })
    return internet
  }

  /** Leads a name to an upstream. @param host its `ADDRESS:PORT` */
  lead(name: string, host: string): void {
    this.#routes.set(`${name}:443`, host)
  }

  /** The environment in which clients go through it. What is on this machine they reach without it. */
  get env(): Readonly<Record<string, string>> {
    const proxy = `http://127.0.0.1:${this.#port}`
    return { HTTPS_PROXY: proxy, HTTP_PROXY: proxy, NO_PROXY: '127.0.0.0/8,localhost', SSL_CERT_FILE: this.#caFile }
  }

  #connect(name: string, client: Duplex): void {
    this.visits.push(name.replace(/:443$/, ''))
    const [address, port] = this.#routes.get(name)?.split(':') ?? []
    if (address === undefined) return void client.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
    const server = connect({ host: address, port: Number(port) })
    server.once('connect', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      server.pipe(client).pipe(server)
    })
    this.#join(client, server)
  }

  /** When one ends, so does the other. */
  #join(client: Duplex, server: Socket): void {
    for (const [one, other] of [
      [client, server],
      [server, client]
    ] as const) {
      this.#sockets.add(one)
      one.on('error', () => {})
      one.once('close', () => {
        this.#sockets.delete(one)
        other.destroy()
      })
    }
  }
}

import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { listen } from '../ports.ts'
import type { Sandbox } from '../sandbox.ts'

/** An HTTP proxy that opens tunnels for one account, to names that it alone knows. */
export class ConnectProxy {
  /** `HOST:PORT` of all tunnels that were asked for with the right password, in their order. */
  readonly opened: string[] = []
  /** How often it was asked without that. */
  refused = 0
  readonly #account: string
  readonly #places: ReadonlyMap<string, string>
  readonly #server = createServer((_, response) => response.writeHead(405).end())
  readonly #sockets = new Set<Socket>()
  #port = 0

  private constructor(account: string, places: Readonly<Record<string, string>>) {
    this.#account = account
    this.#places = new Map(Object.entries(places))
  }

  /**
   * @param account `user:password`
   * @param places where each `HOST:PORT` is: `ADDRESS:PORT`
   */
  static async start(
    sandbox: Sandbox,
    account: string,
    places: Readonly<Record<string, string>>
  ): Promise<ConnectProxy> {
    const proxy = new ConnectProxy(account, places)
    proxy.#server.on('connect', (request, socket) => proxy.#open(request, socket as Socket))
    proxy.#server.on('connection', (socket) => proxy.#keep(socket))
    proxy.#port = await listen(proxy.#server, '127.0.0.1', 0)
    sandbox.defer(() => proxy.stop())
    return proxy
  }

  /** With user and password, as `HTTPS_PROXY` has it. */
  get url(): string {
    return `http://${this.#account}@127.0.0.1:${this.#port}`
  }

  /** Ends all tunnels, and opens none any more. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #open({ url = '', headers }: IncomingMessage, socket: Socket): void {
    const expected = `Basic ${Buffer.from(this.#account).toString('base64')}`
    if (headers['proxy-authorization'] !== expected) {
      this.refused++
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm="test"\r\n\r\n')
      return
    }
    this.opened.push(url)
    const place = this.#places.get(url)
    if (place === undefined) {
      socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
      return
    }
    const { hostname, port } = new URL(`http://${place}`)
    const onward = this.#keep(connect(Number(port), hostname, () => socket.write('HTTP/1.1 200 OK\r\n\r\n')))
    socket.pipe(onward).pipe(socket)
    socket.on('close', () => onward.destroy())
    onward.on('close', () => socket.destroy())
  }

  #keep(socket: Socket): Socket {
    this.#sockets.add(socket)
    return socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket))
  }
}

import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse, request as send } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/** A proxy on loopback that says what it was asked, and knows names that nobody else knows. */
export class FakeProxy {
  /** `CONNECT host:port`, `GET http://…`, in their order. */
  readonly asked: string[] = []
  /** What it was shown, of each request. */
  readonly shown: (string | undefined)[] = []
  /** Where `host:port` is: a URL of this machine. All others are nowhere. */
  readonly places = new Map<string, string>()
  /** The status with which it refuses everything. */
  refusal: number | undefined
  /** Whether it says nothing to CONNECT. */
  silent = false
  readonly #server = createServer((request, response) => this.#forward(request, response))
  readonly #sockets = new Set<Socket>()

  static async start(): Promise<FakeProxy> {
    const proxy = new FakeProxy()
    const server = proxy.#server
    server.on('connect', (request, socket) => proxy.#tunnel(request, socket as Socket))
    server.on('connection', (socket) => proxy.#keep(socket))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    onTestFinished(async () => {
      const closed = once(server, 'close')
      server.close()
      for (const socket of proxy.#sockets) socket.destroy()
      await closed
    })
    return proxy
  }

  /** `http://127.0.0.1:PORT`. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Connections that are open, from clients and to servers. */
  get connections(): number {
    return this.#sockets.size
  }

  #note({ method, url, headers }: IncomingMessage): void {
    this.asked.push(`${method} ${url}`)
    this.shown.push(headers['proxy-authorization'])
  }

  #tunnel(request: IncomingMessage, socket: Socket): void {
    this.#note(request)
    socket.on('end', () => socket.end())
    if (this.silent) {
      socket.resume()
      return
    }
    const place = this.places.get(request.url ?? '')
    if (this.refusal !== undefined || place === undefined) {
      socket.end(`HTTP/1.1 ${this.refusal ?? 502} Refused\r\ncontent-length: 0\r\n\r\n`)
      return
    }
    const { hostname, port } = new URL(place)
    const onward = this.#keep(connect(Number(port), hostname, () => socket.write('HTTP/1.1 200 Connected\r\n\r\n')))
    socket.pipe(onward).pipe(socket)
    for (const [one, other] of [
      [socket, onward],
      [onward, socket]
    ] as const)
      one.on('close', () => other.destroy())
  }

  #forward(request: IncomingMessage, response: ServerResponse): void {
    this.#note(request)
    const { host, pathname, search } = new URL(request.url ?? '', 'http://nowhere.example')
    const place = this.places.get(host)
    if (this.refusal !== undefined || place === undefined) {
      response.writeHead(this.refusal ?? 502).end()
      return
    }
    const { 'proxy-authorization': _, ...headers } = request.headers
    const onward = send(`${place}${pathname}${search}`, { method: request.method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    request.pipe(onward)
  }

  #keep(socket: Socket): Socket {
    this.#sockets.add(socket)
    return socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket))
  }
}

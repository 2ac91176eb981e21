import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { onTestFinished } from 'vitest'

export interface LocalServer {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string
  /** Ends all connections and accepts none, until the test ends. */
  stop(): Promise<void>
  /** Connections that are open. */
  connections(): Promise<number>
}

export interface LocalServerOptions {
  /** @default '127.0.0.1' */
  readonly host?: string
  /** Certificate and key in PEM, to speak TLS. */
  readonly tls?: { readonly cert: string; readonly key: string }
}

/** An HTTP server on loopback that ends with the test. */
export async function startServer(
  answer: (request: IncomingMessage, response: ServerResponse) => unknown,
  { host = '127.0.0.1', tls }: LocalServerOptions = {}
): Promise<LocalServer> {
  const listener: RequestListener = (request, response) => void answer(request, response)
  const options = { keepAliveTimeout: 60_000 }
  const server = tls ? createSecureServer({ ...options, ...tls }, listener) : createServer(options, listener)
  server.listen(0, host)
  await once(server, 'listening')
  const stop = async () => {
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }
  onTestFinished(stop)
  const { port } = server.address() as AddressInfo
  const connections = () =>
    new Promise<number>((resolve, reject) =>
      server.getConnections((error, count) => (error ? reject(error) : resolve(count)))
    )
  return { url: `http${tls ? 's' : ''}://${host.includes(':') ? `[${host}]` : host}:${port}`, stop, connections }
}

/** `http://127.0.0.1:PORT` where nothing listens. */
export async function deadUrl(): Promise<string> {
  const server = await startServer(() => {})
  await server.stop()
  const port = Number(new URL(server.url).port)
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'error')
  return server.url
}

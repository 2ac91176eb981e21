import { once } from 'node:events'
import { createServer, type Server as HttpServer, type RequestListener } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { Server as TlsServer } from 'node:tls'
import { formatHostPort, type ListenAddress } from './config/addresses.ts'

type Server = HttpServer | HttpsServer

/** A server and the address that it really got, when the port was left to the system. */
export interface Listening {
  readonly server: Server
  /** Where this host reaches it: `http://HOST:PORT` or `https://HOST:PORT`, of loopback when it listens on every address. */
  readonly url: string
}

/** Has a server listen. @throws system errors, such as EADDRINUSE */
export async function listen(handler: Server | RequestListener, { host, port }: ListenAddress): Promise<Listening> {
  const server = typeof handler === 'function' ? createServer(handler) : handler
  server.listen(port, host)
  await once(server, 'listening')
  const { port: chosen } = server.address() as AddressInfo
  const scheme = server instanceof TlsServer ? 'https' : 'http'
  return { server, url: `${scheme}://${formatHostPort({ host: reachable(host), port: chosen })}` }
}

/** Accepts no more; requests that run may finish until `signal` aborts, then their connections are cut. */
export async function closeServer(server: Server, signal: AbortSignal): Promise<void> {
  if (!server.listening) return
  const closed = once(server, 'close')
  server.close()
  server.closeIdleConnections()
  const cut = () => server.closeAllConnections()
  if (signal.aborted) cut()
  else signal.addEventListener('abort', cut, { once: true })
  await closed
  signal.removeEventListener('abort', cut)
}

function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  return host === '::' ? '::1' : host
}

import { once } from 'node:events'
import { createServer, type RequestListener, Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { formatHostPort, type ListenAddress } from './config/addresses.ts'

/** A server and the address that it really got, when the port was left to the system. */
export interface Listening {
  readonly server: Server
  /** Where this host reaches it: `http://HOST:PORT`, of loopback when it listens on every address. */
  readonly url: string
}

/** Has a server listen. @throws system errors, such as EADDRINUSE */
export async function listen(handler: Server | RequestListener, { host, port }: ListenAddress): Promise<Listening> {
  const server = handler instanceof Server ? handler : createServer(handler)
  server.listen(port, host)
  await once(server, 'listening')
  const { port: chosen } = server.address() as AddressInfo
  return { server, url: `http://${formatHostPort({ host: reachable(host), port: chosen })}` }
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

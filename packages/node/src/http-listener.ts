import { once } from 'node:events'
import { createServer, type RequestListener, type Server, type ServerOptions } from 'node:http'
import type { AddressInfo } from 'node:net'
import { formatHostPort, type ListenAddress } from './config/addresses.ts'

export type ListenErrorCode = 'ADDRESS_IN_USE' | 'ADDRESS_UNUSABLE'

/** An address that can't be listened on; `cause` is what the system said. */
export class ListenError extends Error {
  override readonly name = 'ListenError'
  readonly code: ListenErrorCode

  constructor(code: ListenErrorCode, message: string, cause: unknown) {
    super(message, { cause })
    this.code = code
  }
}

export interface HttpListener {
  /** Where this machine reaches it: `http://127.0.0.1:5000`, also when it listens on every address. */
  readonly url: string
  /**
   * Takes no more connections, ends those that are idle, waits for the answers under way; ends those too when `signal`
   * aborts, which without one is at once.
   */
  close(signal?: AbortSignal): Promise<void>
}

/** Serves HTTP at an address. @throws {ListenError} */
export async function openHttpListener(
  handler: RequestListener,
  address: ListenAddress,
  options: ServerOptions = {}
): Promise<HttpListener> {
  const server = createServer(options, handler)
  try {
    server.listen(address.port, address.host)
    await once(server, 'listening')
  } catch (cause) {
    throw toListenError(address, cause)
  }
  const { port } = server.address() as AddressInfo
  return {
    url: `http://${formatHostPort({ host: reachable(address.host), port })}`,
    close: (signal) => closeServer(server, signal)
  }
}

async function closeServer(server: Server, signal = AbortSignal.abort()): Promise<void> {
  const closed = server.listening ? once(server, 'close') : Promise.resolve()
  const endAll = () => server.closeAllConnections()
  signal.addEventListener('abort', endAll)
  server.close()
  server.closeIdleConnections()
  if (signal.aborted) endAll()
  await closed
  signal.removeEventListener('abort', endAll)
}

/** A listener on every address is reached through loopback. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  return host === '::' ? '::1' : host
}

function toListenError(address: ListenAddress, cause: unknown): ListenError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
  const place = formatHostPort(address)
  if (code === 'EADDRINUSE')
    return new ListenError('ADDRESS_IN_USE', `another program listens on ${place} already`, cause)
  return new ListenError('ADDRESS_UNUSABLE', `can not listen on ${place} (${code})`, cause)
}

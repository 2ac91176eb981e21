import type { Socket } from 'node:net'
import { buildConnector, Client } from 'undici'
import type { HttpProxy } from '../proxy/proxy.ts'
import { ConnectFailure, ProxyRefusal } from './failures.ts'

export interface TunnelsOptions {
  /** For name resolution, connection and TLS to a proxy, and again for its answer. */
  readonly timeoutMs: number
}

/** Opens connections through proxies by CONNECT (RFC 9110 §9.3.6). */
export class Tunnels {
  readonly #timeoutMs: number
  readonly #closed = new AbortController()

  constructor({ timeoutMs }: TunnelsOptions) {
    this.#timeoutMs = timeoutMs
  }

  /**
   * @param authority host and port of what the proxy is to connect to
   * @throws {ConnectFailure}, for a refusal of the proxy too
   */
  async open({ origin, authorization }: HttpProxy, authority: string): Promise<Socket> {
    const signal = AbortSignal.any([this.#closed.signal, AbortSignal.timeout(2 * this.#timeoutMs)])
    const client = new Client(origin, {
      connect: connectorToProxy(this.#timeoutMs),
      headersTimeout: this.#timeoutMs,
      pipelining: 1
    })
    try {
      const headers = authorization === undefined ? {} : { 'proxy-authorization': authorization }
      const { statusCode, socket } = await client.connect({ path: authority, headers, signal })
      if (statusCode >= 200 && statusCode < 300) return socket as Socket
      socket.on('error', () => {}).destroy()
      throw new ProxyRefusal(statusCode)
    } catch (error) {
      throw error instanceof ConnectFailure ? error : new ConnectFailure(error)
    } finally {
      // The socket of a tunnel is the client's no more.
      await client.destroy()
    }
  }

  close(): void {
    this.#closed.abort(new Error('no tunnel is opened any more'))
  }
}

/** Connects to proxies, which the operator named and so may have anywhere. */
export function connectorToProxy(timeoutMs: number): buildConnector.connector {
  const connect = buildConnector({ timeout: timeoutMs, allowH2: false })
  return (target, callback) =>
    connect(target, (error, socket) =>
      error === null ? callback(null, socket) : callback(new ConnectFailure(error), null)
    )
}

import type { IncomingMessage, RequestListener, ServerOptions, ServerResponse } from 'node:http'
import { Server } from 'node:https'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { contextOptions, type TlsMaterial } from './material.ts'

const HANDSHAKE_TIMEOUT_MS = 10_000

/** How a server proves itself, and what it asks of clients. */
export interface TlsSettings {
  readonly material: TlsMaterial
  /** Refuses connections without a certificate that one of `clientCa` signed. @default false */
  readonly requireClientCertificate?: boolean
}

/** An HTTPS server whose certificates can be replaced while it runs. */
export class RegistryTlsServer extends Server {
  /** Connections whose handshake is not through, by the client's address; Node's own server closes none of them. */
  readonly #handshaking = new Map<string, Socket>()
  readonly #secured = new Set<TLSSocket>()
  /** Connections from before another authority came to say who clients are; they end with their present answer. */
  readonly #outdated = new WeakSet<Socket>()
  #material: TlsMaterial

  constructor(settings: TlsSettings, options: ServerOptions, handler: RequestListener) {
    const { material, requireClientCertificate = false } = settings
    super(
      {
        ...options,
        ...contextOptions(material),
        handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
        requestCert: material.clientCa !== undefined,
        rejectUnauthorized: requireClientCertificate
      },
      handler
    )
    this.#material = material
    this.#follow()
  }

  /** Gives new connections another certificate. When `clientCa` changed too, none that it vouched for before goes on. */
  replace(material: TlsMaterial): void {
    const isOtherCa = material.clientCa !== this.#material.clientCa
    this.#material = material
    this.setSecureContext(contextOptions(material))
    if (!isOtherCa) return
    for (const socket of this.#handshaking.values()) socket.destroy()
    for (const socket of this.#secured) this.#outdated.add(socket)
    this.closeIdleConnections()
  }

  override closeAllConnections(): void {
    super.closeAllConnections()
    for (const socket of this.#handshaking.values()) socket.destroy()
  }

  #follow(): void {
    this.on('connection', (socket: Socket) => {
      const client = addressOf(socket)
      this.#handshaking.set(client, socket)
      socket.once('close', () => this.#handshaking.delete(client))
    })
    this.on('secureConnection', (socket: TLSSocket) => {
      this.#handshaking.delete(addressOf(socket))
      this.#secured.add(socket)
      socket.once('close', () => this.#secured.delete(socket))
    })
    this.on('request', (request: IncomingMessage, response: ServerResponse) => {
      const { socket } = request
      const end = () => {
        if (response.closed && this.#outdated.has(socket)) socket.destroySoon()
      }
      response.once('close', end)
      request.once('close', end)
    })
  }
}

function addressOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}

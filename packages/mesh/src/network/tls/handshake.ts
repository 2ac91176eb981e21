import {
  type CommonConnectionOptions,
  connect,
  createServer,
  type SecureContextOptions,
  type TLSSocket
} from 'node:tls'
import { pEvent } from 'p-event'
import type { Certificate } from './certificate.ts'
import type { TcpConnection } from './socket.ts'

export type Role = 'client' | 'server'

/** All are AEADs that TLS 1.3 has; AES comes first, since processors have instructions for it. */
const CIPHERS = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256'

export interface HandshakeInit {
  readonly role: Role
  readonly certificate: Certificate
  /** Names for ALPN, the dearest first. */
  readonly protocols: readonly string[]
  readonly signal: AbortSignal
}

/**
 * A TLS 1.3 handshake with certificates of both sides on a TCP socket. Whether the peer's certificate is worth
 * anything is left to the caller. No session is ever resumed, so each one begins with certificates: a client offers
 * none, and each connection has a server of its own, with keys for tickets that no other has.
 */
export async function shakeHands({ socket }: TcpConnection, init: HandshakeInit): Promise<TLSSocket> {
  const { role, certificate, protocols, signal } = init
  const options: SecureContextOptions & CommonConnectionOptions = {
    ...certificate,
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    ciphers: CIPHERS,
    ALPNProtocols: [...protocols],
    // No authority vouches for peers: their certificates speak for themselves, and the caller listens.
    ca: [],
    rejectUnauthorized: false
  }
  if (role === 'client') {
    const secured = connect({ ...options, socket })
    ignoreErrors(secured)
    await pEvent(secured, 'secureConnect', { rejectionEvents: ['error', 'close'], signal })
    return secured
  }
  // A server, though it listens nowhere: a bare TLSSocket keeps errors of TLS after the handshake to itself.
  const server = createServer({ ...options, requestCert: true })
  const secured = pEvent<'secureConnection', TLSSocket>(server, 'secureConnection', {
    rejectionEvents: ['tlsClientError'],
    signal
  })
  server.once('secureConnection', ignoreErrors)
  server.emit('connection', socket)
  return secured
}

/** Reads so many bytes and no more; what follows stays in the socket. @throws when it ends before */
export async function readExactly(socket: TLSSocket, bytes: number, signal: AbortSignal): Promise<Uint8Array> {
  while (!socket.destroyed) {
    const read: Buffer | null = socket.read(bytes)
    if (read?.byteLength === bytes) return read
    await pEvent(socket, 'readable', { rejectionEvents: ['error', 'close', 'end'], signal })
  }
  throw socket.errored ?? new Error('the connection ended')
}

/** Who waits for something hears of an error by it; one in between must not end the process. */
function ignoreErrors(socket: TLSSocket): void {
  socket.on('error', () => {})
}

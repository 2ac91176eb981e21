import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { type PeerCertificate, TLSSocket } from 'node:tls'
import type { ClientProof } from '../interfaces.ts'

/** All that a client showed of itself. */
export function proofOf(request: IncomingMessage, behindTlsProxy: boolean): ClientProof {
  return {
    authorization: request.headers.authorization,
    certificate: certificateOf(request),
    address: clientAddress(request, behindTlsProxy)
  }
}

/** Whether the client came by TLS, to here or to the proxy before. */
export function schemeOf(request: IncomingMessage, behindTlsProxy: boolean): 'http' | 'https' {
  return behindTlsProxy || request.socket instanceof TLSSocket ? 'https' : 'http'
}

/**
 * The IP address that a request came from. Of a proxy's `X-Forwarded-For` only the last entry is its own word; those
 * before it are whatever the client wrote.
 */
export function clientAddress(request: IncomingMessage, behindTlsProxy: boolean): string {
  const direct = (request.socket.remoteAddress ?? '').replace(MAPPED_IPV4, '')
  if (!behindTlsProxy) return direct
  const forwarded = [request.headers['x-forwarded-for'] ?? ''].flat().join(',').split(',').at(-1)?.trim() ?? ''
  return isIP(forwarded) === 0 ? direct : forwarded
}

/** What IPv4 addresses begin with on a socket that takes both. */
const MAPPED_IPV4 = /^::ffff:(?=\d+\.)/i

const certificates = new WeakMap<TLSSocket, PeerCertificate>()

/** The client's certificate if TLS has verified it and it has not run out since. */
function certificateOf({ socket }: IncomingMessage): PeerCertificate | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined
  const known = certificates.get(socket) ?? socket.getPeerCertificate()
  if (known?.raw === undefined) return undefined
  certificates.set(socket, known)
  return Date.parse(known.valid_to) > Date.now() ? known : undefined
}

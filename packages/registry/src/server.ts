import { createServer, type RequestListener, type Server, type ServerOptions } from 'node:http'
import type { Socket } from 'node:net'
import { REGISTRY_SERVER_DEFAULTS, type RegistryServerOptions } from './options.ts'
import { RegistryTlsServer, type TlsSettings } from './tls/tls-server.ts'

/**
 * An HTTP server fit for the registry: uploads may take hours, so that no request as a whole is timed, but heads are
 * read within a deadline and bodies watched by the handler; nothing that a client sends is without a bound.
 */
export function createRegistryServer(handler: RequestListener, options?: RegistryServerOptions): Server
/** The same over TLS. */
export function createRegistryServer(
  handler: RequestListener,
  options: RegistryServerOptions,
  tls: TlsSettings
): RegistryTlsServer
export function createRegistryServer(
  handler: RequestListener,
  options: RegistryServerOptions = {},
  tls?: TlsSettings
): Server | RegistryTlsServer {
  const limits = { ...REGISTRY_SERVER_DEFAULTS, ...options }
  const settings: ServerOptions = {
    requestTimeout: 0,
    headersTimeout: limits.headersTimeoutMs,
    connectionsCheckingInterval: Math.min(limits.headersTimeoutMs, 5_000),
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    maxHeaderSize: limits.maxHeaderBytes,
    noDelay: true
  }
  const bounded = boundPipelining(handler, limits.maxPipelinedRequests)
  const server = tls === undefined ? createServer(settings, bounded) : new RegistryTlsServer(tls, settings, bounded)
  server.maxHeadersCount = limits.maxHeaders
  server.maxConnections = limits.maxConnections
  // Without this Node asks for every body at once; the handler asks for those that it will not refuse.
  server.on('checkContinue', bounded)
  return server
}

/**
 * Cuts a connection on which many requests come before the first was answered. Node begins all that it finds in what it
 * reads at once, and keeps each answer, of megabytes perhaps, until those before it have left; no registry client does so.
 */
function boundPipelining(handler: RequestListener, max: number): RequestListener {
  const unanswered = new WeakMap<Socket, number>()
  return (request, response) => {
    const { socket } = request
    const count = (unanswered.get(socket) ?? 0) + 1
    if (count > max) {
      socket.destroy()
      return
    }
    unanswered.set(socket, count)
    response.once('close', () => unanswered.set(socket, (unanswered.get(socket) ?? 1) - 1))
    handler(request, response)
  }
}

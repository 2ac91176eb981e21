import { createServer, type RequestListener, type Server, type ServerOptions } from 'node:http'
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
  const server = tls === undefined ? createServer(settings, handler) : new RegistryTlsServer(tls, settings, handler)
  server.maxHeadersCount = limits.maxHeaders
  server.maxConnections = limits.maxConnections
  // Without this Node asks for every body at once; the handler asks for those that it will not refuse.
  server.on('checkContinue', handler)
  return server
}

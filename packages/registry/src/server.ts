import { createServer, type RequestListener, type Server } from 'node:http'
import { REGISTRY_SERVER_DEFAULTS, type RegistryServerOptions } from './options.ts'

/**
 * An HTTP server fit for the registry: uploads may take hours, so that no request as a whole is timed, but heads are
 * read within a deadline and bodies watched by the handler; nothing that a client sends is without a bound.
 */
export function createRegistryServer(handler: RequestListener, options: RegistryServerOptions = {}): Server {
  const limits = { ...REGISTRY_SERVER_DEFAULTS, ...options }
  const server = createServer(
    {
      requestTimeout: 0,
      headersTimeout: limits.headersTimeoutMs,
      connectionsCheckingInterval: Math.min(limits.headersTimeoutMs, 5_000),
      keepAliveTimeout: limits.keepAliveTimeoutMs,
      maxHeaderSize: limits.maxHeaderBytes,
      noDelay: true
    },
    handler
  )
  server.maxHeadersCount = limits.maxHeaders
  server.maxConnections = limits.maxConnections
  // Without this Node asks for every body at once; the handler asks for those that it will not refuse.
  server.on('checkContinue', handler)
  return server
}

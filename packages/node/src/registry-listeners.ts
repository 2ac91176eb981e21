import { hkdfSync } from 'node:crypto'
import type { RequestListener } from 'node:http'
import { TOKEN_PATH } from '@layermesh/access/basics'
import {
  createRegistry,
  createRegistryServer,
  type RegistryComponents,
  type RegistryOptions,
  readTlsMaterial,
  TlsError,
  TlsReloader
} from '@layermesh/registry'
import type { PrivateKey } from '@layermesh/trust'
import { ConfigError } from './config/index.ts'
import type { NodeConfig } from './config/node-config.ts'
import { closeServer, listen } from './listening.ts'

export interface RegistryListenersComponents extends Pick<RegistryComponents, 'backend' | 'access' | 'events' | 'log'> {
  readonly privateKey: PrivateKey
  /** Where clients get tokens; undefined without access control. */
  readonly tokenEndpoint?: RequestListener
}

/** Where clients find the `/v2/` API. */
export interface RegistryListeners {
  /** `http://HOST:PORT` or `https://HOST:PORT`. */
  readonly url: string
  /** Of the mirror listener, when there is one. */
  readonly mirrorUrl: string | undefined
  /** When the certificate in use runs out; undefined without TLS. */
  certificateExpiresAt(): Date | undefined
  /** Accepts no more; what runs may finish until `signal` aborts. */
  close(signal: AbortSignal): Promise<void>
}

const SEALING_KEY_BYTES = 32

/** Opens the registry and, when there is to be one, the mirror. @throws {ConfigError} TLS_UNUSABLE; system errors */
export async function startRegistryListeners(
  { privateKey, tokenEndpoint, ...shared }: RegistryListenersComponents,
  { registry: config }: NodeConfig
): Promise<RegistryListeners> {
  const components = { ...shared, sealingKey: sealingKeyOf(privateKey) }
  const { ownHosts, readOnly, deletes, behindTlsProxy } = config
  const options: RegistryOptions = { ownHosts, readOnly, deletes, behindTlsProxy }
  const app = withTokenEndpoint(createRegistry(components, options), tokenEndpoint)
  const registry = await startRegistry(app, components.log, config)
  if (config.mirrorListen === undefined) return registry
  try {
    const face = createRegistry(components, { ownHosts, face: 'mirror' })
    const mirror = await listen(createRegistryServer(face), config.mirrorListen)
    return {
      ...registry,
      mirrorUrl: mirror.url,
      close: async (signal) => {
        await Promise.all([registry.close(signal), closeServer(mirror.server, signal)])
      }
    }
  } catch (error) {
    await registry.close(AbortSignal.abort())
    throw error
  }
}

async function startRegistry(
  app: RequestListener,
  log: RegistryComponents['log'],
  { listen: address, tls: settings }: NodeConfig['registry']
): Promise<RegistryListeners> {
  if (settings === undefined) {
    const { server, url } = await listen(createRegistryServer(app), address)
    const close = (signal: AbortSignal) => closeServer(server, signal)
    return { url, mirrorUrl: undefined, certificateExpiresAt: () => undefined, close }
  }
  const { requireClientCertificate, ...files } = settings
  const material = await readTlsMaterial(files).catch(asConfigError)
  const secured = createRegistryServer(app, {}, { material, requireClientCertificate })
  const reloader = new TlsReloader({ server: secured, log }, files, material)
  const { server, url } = await listen(secured, address)
  reloader.start()
  return {
    url,
    mirrorUrl: undefined,
    certificateExpiresAt: () => reloader.current.validTo,
    close: async (signal) => {
      reloader.stop()
      await closeServer(server, signal)
    }
  }
}

/** Clients find tokens beside `/v2/`. */
function withTokenEndpoint(registry: RequestListener, tokens: RequestListener | undefined): RequestListener {
  if (tokens === undefined) return registry
  return (request, response) => {
    const [path] = (request.url ?? '').split('?', 1)
    const handler = path === TOKEN_PATH ? tokens : registry
    handler(request, response)
  }
}

function asConfigError(error: unknown): never {
  if (!(error instanceof TlsError)) throw error
  throw new ConfigError('TLS_UNUSABLE', `registry.tls: ${error.message}`, { key: 'registry.tls', cause: error })
}

/** Stays the same over restarts, so that uploads go on, and tells nothing of the key that it comes from. */
function sealingKeyOf({ raw }: PrivateKey): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', raw, '', 'layermesh registry', SEALING_KEY_BYTES))
}

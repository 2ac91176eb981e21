export { proofOf } from './access/client-proof.ts'
export { addressRepository } from './addressing.ts'
export * from './interfaces.ts'
export type { RegistryLog } from './log.ts'
export {
  REGISTRY_DEFAULTS,
  REGISTRY_SERVER_DEFAULTS,
  type RegistryOptions,
  type RegistryServerOptions
} from './options.ts'
export { createRegistry, type RegistryComponents } from './registry.ts'
export { createRegistryServer } from './server.ts'
export { readTlsMaterial, TlsError, type TlsFiles } from './tls/material.ts'
export { TlsReloader } from './tls/tls-reloader.ts'
export type { RegistryTlsServer } from './tls/tls-server.ts'

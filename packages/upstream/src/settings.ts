import type { CredentialSettings } from './credentials/settings.ts'

/** A registry that the operator listed. */
export interface RegistrySettings {
  /** As repositories name it, such as `docker.io`. */
  readonly host: string
  /** Scheme, host and port. */
  readonly url: string
  /** Certificates in PEM, trusted in place of the usual ones. */
  readonly caFile?: string
  /** Hosts of its token service, beyond its own host and others of the same registrable domain. */
  readonly realmHosts: readonly string[]
  readonly credentials?: CredentialSettings
}

/** Which registries may be asked. */
export interface UpstreamsSettings {
  /** The registry for names without a hint. */
  readonly defaultHost?: string
  /** Registries that are not listed: by https at public addresses, or not at all. */
  readonly others: 'public' | 'none'
  readonly registries: readonly RegistrySettings[]
  /** Listed to say that they are not asked. */
  readonly excluded: readonly string[]
}

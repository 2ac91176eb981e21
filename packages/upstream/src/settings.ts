import type { CredentialSettings } from './credentials/settings.ts'
import type { ProxySetting } from './proxy/choose-proxy.ts'

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
  /** By what it, and what belongs to it, is asked, whatever counts for other registries. */
  readonly proxy?: ProxySetting
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
  /** By what registries are asked. @default what the environment says: HTTPS_PROXY, HTTP_PROXY */
  readonly proxy?: ProxySetting
}

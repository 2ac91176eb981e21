import { resolve } from 'node:path'
import { normalizeRegistryHost } from '@layermesh/oci'
import { type CredentialSettings, originOfRegistry } from '@layermesh/upstream'
import type { Settings } from './schema.ts'
import { NO_UPSTREAM } from './upstream-settings.ts'

/** What a node runs with of the section `upstreams`. */
export interface UpstreamsConfig {
  /** The registry for names without a hint; undefined when there is none. It may be one that is not to be asked. */
  readonly defaultHost?: string
  readonly others: 'public' | 'none'
  readonly registries: readonly UpstreamRegistryConfig[]
  /** A proxy's URL, or `none`; undefined: as the environment says. */
  readonly proxy?: string
}

/** A registry that is listed. */
export interface UpstreamRegistryConfig {
  /** As repositories name it: in small letters, `docker.io` for all names of Docker Hub. */
  readonly host: string
  /** Scheme, host and port. */
  readonly url: string
  readonly mirror: boolean
  /** Absolute. */
  readonly caFile?: string
  readonly realmHosts: readonly string[]
  /** Its paths are absolute. */
  readonly credentials?: CredentialSettings
  readonly clients: 'own' | 'all'
  readonly direct: boolean
  /** A proxy's URL, or `none`; undefined: as for all registries. */
  readonly proxy?: string
}

type RegistryEntry = Settings['upstreams']['registries'][string]
type CredentialEntry = NonNullable<RegistryEntry['credentials']>

export function toUpstreams({ default: name, others, registries, proxy }: Settings['upstreams']): UpstreamsConfig {
  return {
    ...(name === NO_UPSTREAM ? {} : { defaultHost: normalizeRegistryHost(name) }),
    others,
    ...(proxy === undefined ? {} : { proxy }),
    registries: Object.entries(registries).map(toRegistry)
  }
}

function toRegistry([name, entry]: [string, RegistryEntry]): UpstreamRegistryConfig {
  const host = normalizeRegistryHost(name)
  const { url, caFile, credentials, realmHosts, proxy, ...rest } = entry
  return {
    ...rest,
    host,
    url: url === undefined ? originOfRegistry(host) : new URL(url).origin,
    realmHosts: realmHosts.map((realm) => realm.toLowerCase()),
    ...(caFile === undefined ? {} : { caFile: resolve(caFile) }),
    ...(proxy === undefined ? {} : { proxy }),
    ...(credentials === undefined ? {} : { credentials: toCredentials(credentials) })
  }
}

/** The schema has seen to it that there is one source. */
function toCredentials(given: CredentialEntry): CredentialSettings {
  const { username, passwordFile, dockerConfig, helper, kubelet, ecr, google, acr } = given
  if (username !== undefined && passwordFile !== undefined) return { username, passwordFile: resolve(passwordFile) }
  if (dockerConfig !== undefined) return { dockerConfig: resolve(dockerConfig) }
  if (helper !== undefined) return { helper }
  if (kubelet !== undefined) return { kubelet: withPaths(kubelet, ['config', 'binDir']) }
  if (ecr !== undefined) return { ecr: withPaths(ecr, []) }
  if (google !== undefined) return { google: withPaths(google, ['keyFile']) }
  if (acr !== undefined) return { acr: withPaths(acr, ['clientSecretFile', 'federatedTokenFile']) }
  throw new TypeError('the settings were not checked')
}

/** An object without what is undefined. */
type Given<Values> = { [Key in keyof Values]: Exclude<Values[Key], undefined> }

/** Those of `names` made absolute. */
function withPaths<Values extends object>(values: Values, names: readonly (keyof Values & string)[]): Given<Values> {
  const given = Object.entries(values).filter(([, value]) => value !== undefined)
  const isPath = (name: string) => (names as readonly string[]).includes(name)
  return Object.fromEntries(
    given.map(([name, value]) => [name, isPath(name) ? resolve(String(value)) : value])
  ) as Given<Values>
}

import {
  looksLikeHost,
  mirroredRepository,
  normalizeRegistryHost,
  OciError,
  parseRepository,
  type Repository
} from '@layermesh/oci'

const LOOPBACK_HOST = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/

/**
 * The repository that a request means, whichever way the client names it: containerd tells the upstream as
 * `?ns=docker.io`, podman as the first component of the name, and others not at all. A host that is this registry
 * itself names the mesh's own repositories.
 *
 * @param name the name in the path
 * @param namespace the value of `ns`, undefined when there was none
 * @param ownHosts `host[:port]` by which this registry is known; loopback hosts always count among them
 * @throws {OciError} NAME_INVALID; NAME_UNKNOWN for a namespace that is no registry
 */
export function addressRepository(
  name: string,
  namespace: string | undefined,
  ownHosts: readonly string[]
): Repository {
  const isOwn = (host: string) => isOwnHost(host, ownHosts)
  if (namespace === undefined || isOwn(namespace.toLowerCase())) return parseRepository(withoutOwnHosts(name, isOwn))
  return mirroredRepository(parseNamespace(namespace), name)
}

/** Tells whether a host, in lower case, names this registry itself. */
export function isOwnHost(host: string, ownHosts: readonly string[]): boolean {
  return LOOPBACK_HOST.test(host) || ownHosts.includes(host)
}

/** A name may bring the host more than once, from a mirror of a mirror; none of them is an upstream. */
function withoutOwnHosts(name: string, isOwn: (host: string) => boolean): string {
  let rest = name
  for (let slash = rest.indexOf('/'); slash > 0 && isOwn(rest.slice(0, slash)); slash = rest.indexOf('/')) {
    rest = rest.slice(slash + 1)
  }
  return rest
}

function parseNamespace(namespace: string): string {
  try {
    return normalizeRegistryHost(namespace)
  } catch (cause) {
    throw new OciError('NAME_UNKNOWN', 'ns must name a registry, as HOST[:PORT]', {
      detail: { ns: namespace.slice(0, 255) },
      cause
    })
  }
}

/** Lower-cases the hosts of a configuration and refuses what is none. @throws {OciError} NAME_INVALID */
export function parseOwnHosts(hosts: readonly string[]): string[] {
  return hosts.map((host) => {
    const lower = host.toLowerCase()
    if (looksLikeHost(lower) || LOOPBACK_HOST.test(lower)) return lower
    throw new OciError('NAME_INVALID', 'a host of this registry is localhost or a name with a dot or a port', {
      detail: { host: host.slice(0, 255) }
    })
  })
}

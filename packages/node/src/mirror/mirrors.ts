import { type Repository, registryHostOf } from '@layermesh/oci'
import type { UpstreamRegistry, Upstreams } from '@layermesh/upstream'

/** What the settings say of a registry, besides how it is asked. */
export interface MirrorPolicy {
  /** Whether it may be asked what a tag means while no trusted seed answers. */
  readonly direct: boolean
  /** Whether each client gets only what the registry gives to it itself, since this node may pull more. */
  readonly judgesClients: boolean
}

/** A repository of another registry that is mirrored here. */
export interface MirroredRepository extends MirrorPolicy {
  readonly repository: Repository
  /** The registry, as repositories name it. */
  readonly host: string
  readonly registry: UpstreamRegistry
  /** The name of the repository at the registry. */
  readonly name: string
}

/** Tells which repositories are mirrored. */
export class Mirrors {
  readonly #upstreams: Pick<Upstreams, 'get'>
  readonly #policyOf: (host: string) => MirrorPolicy

  constructor(upstreams: Pick<Upstreams, 'get'>, policyOf: (host: string) => MirrorPolicy) {
    this.#upstreams = upstreams
    this.#policyOf = policyOf
  }

  /** Undefined for the mesh's own repositories, and for those of registries that must not be asked. */
  find(repository: Repository): MirroredRepository | undefined {
    const host = registryHostOf(repository)
    const registry = host === undefined ? undefined : this.#upstreams.get(host)
    if (host === undefined || registry === undefined) return undefined
    return { repository, host, registry, name: repository.slice(host.length + 1), ...this.#policyOf(host) }
  }

  /** The registry that a repository is mirrored from, as repositories name it. */
  hostOf(repository: Repository): string | undefined {
    return this.find(repository)?.host
  }
}

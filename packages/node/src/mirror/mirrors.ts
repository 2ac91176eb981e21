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

export interface MirrorsOptions {
  /** Of registries that the operator named. */
  readonly named: ReadonlyMap<string, MirrorPolicy>
  /** Whether this node holds what not all of its clients may see. */
  readonly isolates: boolean
  /** Whether registries that nobody named are mirrored too. */
  readonly others: boolean
}

const OTHERS: MirrorPolicy = Object.freeze({ direct: true, judgesClients: false })

/**
 * Tells which repositories are mirrored.
 *
 * That a registry says to have a digest is no proof that it has its bytes. Where not all clients may see all that a node
 * holds, somebody who knows the digest of what he may not see could have a registry of his own say that it is there, or
 * have a manifest that he pushed name it, and get the bytes from this node. So such a node {@link isolates}: what a
 * manifest names is shown only when the registry says of each digest that it is in the repository, and only registries
 * are believed that the operator named.
 */
export class Mirrors {
  readonly isolates: boolean
  readonly #upstreams: Pick<Upstreams, 'get'>
  readonly #options: MirrorsOptions

  constructor(upstreams: Pick<Upstreams, 'get'>, options: MirrorsOptions) {
    this.isolates = options.isolates
    this.#upstreams = upstreams
    this.#options = options
  }

  /** Undefined for the mesh's own repositories, and for those of registries that must not be asked. */
  find(repository: Repository): MirroredRepository | undefined {
    const host = this.hostOf(repository)
    const registry = host === undefined ? undefined : this.#upstreams.get(host)
    if (host === undefined || registry === undefined) return undefined
    const policy = this.#options.named.get(host) ?? OTHERS
    return { repository, host, registry, name: repository.slice(host.length + 1), ...policy }
  }

  /** The registry that a repository is mirrored from, as repositories name it. */
  hostOf(repository: Repository): string | undefined {
    const host = registryHostOf(repository)
    return host !== undefined && this.mirrors(host) ? host : undefined
  }

  /** Whether the repositories of a registry are mirrored. */
  mirrors(host: string): boolean {
    const { named, others } = this.#options
    return (others || named.has(host)) && this.#upstreams.get(host) !== undefined
  }
}

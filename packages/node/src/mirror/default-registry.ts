import { mirroredRepository, type Repository } from '@layermesh/oci'
import type { TrustPolicy } from '@layermesh/trust'
import { LRUCache } from 'lru-cache'

/** What a name may mean that came without a registry, if not one of the mesh's own repositories. */
export interface Alternative {
  /** The repository of the default registry. */
  readonly repository: Repository
  /** Whether it means that in any case; else only where the mesh has no repository of this name. */
  readonly always: boolean
}

export interface DefaultRegistryComponents {
  /** The default registry; undefined when there is none that may be asked. */
  readonly host: string | undefined
  readonly trust: Pick<TrustPolicy, 'isNamed' | 'signersFor'>
  /** Whether the repository is here. */
  isHere(repository: Repository): Promise<boolean>
  /** Asks the seeds whether they know the repository; undefined when none answers that may sign for it. */
  isAtSeeds(repository: Repository): Promise<boolean | undefined>
  /** Milliseconds of a clock that never goes back. */
  now(): number
}

const OFFICIAL = 'library/'
const REMEMBERED = 1_024
const PRESENT_MS = 30_000
const UNSURE_MS = 2_000

/**
 * What a name without a registry means, as classic Docker sends them to its mirrors (DESIGN §3):
 *
 * - What `trust` names by another pattern than `**` is the mesh's own.
 * - Else `library/…`, Docker's official images, is the default registry's: whoever may push can not shadow them.
 * - Else it is the mesh's own when the mesh has such a repository, and the default registry's when it has not. When that
 *   can't be known, since no seed answers, it is taken for the mesh's own, so that nobody's image at another registry
 *   passes for it; the client gets 404 and goes to its registry.
 */
export class DefaultRegistry {
  readonly #components: DefaultRegistryComponents
  readonly #known: LRUCache<Repository, boolean>

  constructor(components: DefaultRegistryComponents) {
    this.#components = components
    this.#known = new LRUCache({ max: REMEMBERED, ttlResolution: 0, perf: { now: components.now } })
  }

  /** Undefined when the name can only be one of the mesh's own. */
  alternative(own: Repository): Alternative | undefined {
    const { host, trust } = this.#components
    if (host === undefined || trust.isNamed(own)) return undefined
    const always = own.startsWith(OFFICIAL) || trust.signersFor(own).length === 0
    return { repository: mirroredRepository(host, own), always }
  }

  /** Whether the mesh has a repository of this name, or may have it. */
  async hasOwn(own: Repository): Promise<boolean> {
    if (await this.#components.isHere(own)) return true
    const known = this.#known.get(own)
    if (known !== undefined) return known
    const answer = await this.#components.isAtSeeds(own)
    const has = answer ?? true
    this.#known.set(own, has, { ttl: answer === true ? PRESENT_MS : UNSURE_MS })
    return has
  }
}

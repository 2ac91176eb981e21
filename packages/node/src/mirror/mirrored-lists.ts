import type { PageRequest } from '@layermesh/content'
import type { Descriptor, Digest, Repository } from '@layermesh/oci'
import { LRUCache } from 'lru-cache'
import type { MirroredRepository, Mirrors } from './mirrors.ts'

export interface MirroredListsComponents {
  readonly mirrors: Pick<Mirrors, 'find'>
  readonly log: { debug(fields: object, message: string): void }
}

export interface MirroredListsOptions {
  /** A registry has so long to answer, in ms. */
  readonly deadlineMs: number
  /** Referrers are asked for again after so long, in ms. */
  readonly referrersMs: number
  readonly maxRemembered: number
}

const DEFAULTS: MirroredListsOptions = Object.freeze({ deadlineMs: 8_000, referrersMs: 10_000, maxRemembered: 512 })

interface KnownReferrers {
  readonly descriptors: readonly Descriptor[]
  readonly askedAt: number
}

/** Lists of other registries: the tags of a repository, and what refers to a manifest. */
export class MirroredLists {
  readonly #components: MirroredListsComponents
  readonly #options: MirroredListsOptions
  readonly #referrers: LRUCache<string, KnownReferrers>

  constructor(components: MirroredListsComponents, options: Partial<MirroredListsOptions> = {}) {
    this.#components = components
    this.#options = { ...DEFAULTS, ...options }
    this.#referrers = new LRUCache({ max: this.#options.maxRemembered })
  }

  covers(repository: Repository): boolean {
    return this.#components.mirrors.find(repository) !== undefined
  }

  /** Undefined when there is no such repository, or its registry does not answer. */
  async tags(repository: Repository, page: PageRequest): Promise<string[] | undefined> {
    return await this.ask(repository, ({ registry, name }, signal) => registry.listTags(name, page, { signal }))
  }

  /** What the registry says refers to a manifest; what it said last when it does not answer. */
  async referrers(repository: Repository, subject: Digest): Promise<readonly Descriptor[] | undefined> {
    const key = `${repository}@${subject}`
    const known = this.#referrers.get(key)
    if (known && performance.now() - known.askedAt < this.#options.referrersMs) return known.descriptors
    const descriptors = await this.ask(repository, ({ registry, name }, signal) =>
      registry.referrers(name, subject, { signal })
    )
    if (!descriptors) return known?.descriptors
    this.#referrers.set(key, { descriptors, askedAt: performance.now() })
    return descriptors
  }

  private async ask<T>(
    repository: Repository,
    question: (mirrored: MirroredRepository, signal: AbortSignal) => Promise<T | undefined>
  ): Promise<T | undefined> {
    const { mirrors, log } = this.#components
    const mirrored = mirrors.find(repository)
    if (!mirrored) return undefined
    try {
      return await question(mirrored, AbortSignal.timeout(this.#options.deadlineMs))
    } catch (error) {
      log.debug({ repository, host: mirrored.host, err: error }, 'a registry did not answer for a list')
      return undefined
    }
  }
}

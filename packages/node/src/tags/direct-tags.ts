import { type Descriptor, isDigest, type Repository, type Tag } from '@layermesh/oci'
import { LRUCache } from 'lru-cache'
import type { MirroredRepository, Mirrors } from '../mirror/mirrors.ts'
import type { Remembered } from '../mirror/remembered.ts'

/** What a registry said to this node that a tag means. Nobody signed it: it counts here alone. */
export interface DirectTag extends Pick<Descriptor, 'digest' | 'mediaType' | 'size'> {
  /** When the registry was asked, in ms since 1970. */
  readonly confirmedAt: number
}

export interface DirectTagsComponents {
  readonly mirrors: Pick<Mirrors, 'find'>
  readonly kept: Pick<Remembered<DirectTag>, 'get' | 'set' | 'delete'>
  readonly log: { debug(fields: object, message: string): void }
  /** Milliseconds since 1970. */
  now(): number
}

export interface DirectTagsOptions {
  /** The registry has so long to answer, in ms. */
  readonly deadlineMs: number
  /** It is not asked again so soon for a tag that it does not have, or did not answer for, in ms. */
  readonly pauseMs: number
  readonly maxPaused: number
}

const DEFAULTS: DirectTagsOptions = Object.freeze({ deadlineMs: 15_000, pauseMs: 3_000, maxPaused: 1_024 })

/** What a registry answered: `tag` is undefined when it has none. */
export interface DirectAnswer {
  readonly tag: DirectTag | undefined
}

/** Asks other registries by itself what tags mean: where no trusted seed signs for them, or none answers. */
export class DirectTags {
  readonly #components: DirectTagsComponents
  readonly #options: DirectTagsOptions
  readonly #asking = new Map<string, Promise<DirectAnswer | undefined>>()
  readonly #paused: LRUCache<string, DirectAnswer | { readonly failed: true }>

  constructor(components: DirectTagsComponents, options: Partial<DirectTagsOptions> = {}) {
    this.#components = components
    this.#options = { ...DEFAULTS, ...options }
    const { maxPaused: max, pauseMs: ttl } = this.#options
    this.#paused = new LRUCache({ max, ttl, ttlResolution: 0, perf: { now: components.now } })
  }

  /** What the registry said last. */
  kept(repository: Repository, tag: Tag): DirectTag | undefined {
    return this.#components.kept.get(`${repository}:${tag}`)
  }

  /**
   * Asks the registry. Undefined when it may not be asked, or does not answer. All who ask for one tag at the same time
   * share the question, which goes on when nobody waits for it any more. Never rejects.
   */
  async ask(repository: Repository, tag: Tag): Promise<DirectAnswer | undefined> {
    const mirrored = this.#components.mirrors.find(repository)
    if (!mirrored?.direct) return undefined
    const key = `${repository}:${tag}`
    const paused = this.#paused.get(key)
    if (paused) return 'failed' in paused ? undefined : paused
    let asking = this.#asking.get(key)
    if (!asking) {
      asking = this.askNow(mirrored, tag, key).finally(() => this.#asking.delete(key))
      this.#asking.set(key, asking)
    }
    return await asking
  }

  private async askNow(mirrored: MirroredRepository, tag: Tag, key: string): Promise<DirectAnswer | undefined> {
    const { kept, now, log } = this.#components
    const { repository, registry, name, host } = mirrored
    const confirmedAt = now()
    try {
      const head = await registry.headManifest(name, tag, { signal: AbortSignal.timeout(this.#options.deadlineMs) })
      if (head === undefined) {
        kept.delete(key)
        this.#paused.set(key, { tag: undefined })
        return { tag: undefined }
      }
      const { digest, mediaType, size } = head
      const found = { digest, mediaType, size, confirmedAt }
      kept.set(key, found)
      return { tag: found }
    } catch (error) {
      log.debug({ repository, tag, host, err: error }, 'a registry did not say what a tag means')
      this.#paused.set(key, { failed: true })
      return undefined
    }
  }
}

/** Tells whether something read from a file is what a registry once said. */
export function isDirectTag(value: unknown): value is DirectTag {
  if (typeof value !== 'object' || value === null) return false
  const { digest, mediaType, size, confirmedAt } = value as Record<string, unknown>
  return (
    typeof digest === 'string' &&
    isDigest(digest) &&
    typeof mediaType === 'string' &&
    typeof size === 'number' &&
    typeof confirmedAt === 'number'
  )
}

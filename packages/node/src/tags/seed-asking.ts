import type { TagAnswer, TagClient } from '@layermesh/mesh'
import type { Repository, Tag } from '@layermesh/oci'
import { LRUCache } from 'lru-cache'
import type { AcceptedTag, TagRecords } from './tag-records.ts'

/** What a seed said: `tag` is undefined when it knows none. */
export interface SeedAnswer {
  readonly tag: AcceptedTag | undefined
}

export interface SeedAskingComponents {
  readonly client: Pick<TagClient, 'resolve'>
  readonly records: Pick<TagRecords, 'take'>
  connected(): string[]
}

export interface SeedAskingOptions {
  /** One that has not answered by then is not asked by others, in ms. */
  readonly slowAfterMs: number
  /** A seed that did not answer is not asked again for so long, in ms; twice as long each time that it fails again. */
  readonly seedPauseMs: number
  readonly maxSeedPauseMs: number
}

const DEFAULTS: SeedAskingOptions = Object.freeze({ slowAfterMs: 1_500, seedPauseMs: 3_000, maxSeedPauseMs: 30_000 })
const MAX_PAUSED = 64

/** Asks seeds what tags mean, and leaves those alone for a while that do not answer. */
export class SeedAsking {
  readonly #components: SeedAskingComponents
  readonly #options: SeedAskingOptions
  readonly #pausedSeeds = new LRUCache<string, true>({ max: MAX_PAUSED })
  /** How long those that failed last were paused. */
  readonly #lastPauses = new LRUCache<string, number>({ max: MAX_PAUSED })

  constructor(components: SeedAskingComponents, options: Partial<SeedAskingOptions> = {}) {
    this.#components = components
    this.#options = { ...DEFAULTS, ...options }
  }

  /** Whether this connected peer is a seed that did not answer when it was asked last. */
  isPaused(peerId: string): boolean {
    return this.#pausedSeeds.has(peerId)
  }

  /** What the newest answer of those seeds says that answer in time. Undefined when none does. */
  async ask(
    seeds: readonly string[],
    repository: Repository,
    tag: Tag,
    deadlineMs: number
  ): Promise<SeedAnswer | undefined> {
    const deadline = AbortSignal.timeout(deadlineMs)
    const connected = new Set(this.#components.connected())
    const pauseKey = (seed: string) => (connected.has(seed) ? seed : `away ${seed}`)
    const asked = seeds.filter((seed) => !this.#pausedSeeds.has(pauseKey(seed)))
    const answers = await Promise.all(
      asked.map(async (seed) => {
        const answer = await this.askSeed(seed, pauseKey(seed), { repository, tag }, deadline)
        if (!answer?.authoritative) return undefined
        if (answer.envelope === undefined) return { tag: undefined }
        const { envelope, confirmedAt } = answer
        const taken = await this.#components.records.take(envelope, seed, 'authority', { repository, tag }, confirmedAt)
        return taken && { tag: taken }
      })
    )
    const heard = answers.filter((answer) => answer !== undefined)
    return heard.sort(
      ({ tag: a }, { tag: b }) =>
        (b?.record.sequence ?? -1) - (a?.record.sequence ?? -1) || (b?.confirmedAt ?? 0) - (a?.confirmedAt ?? 0)
    )[0]
  }

  /** Asks one seed; while it is slow to answer, it is not asked by others. One that is connected anew is asked again. */
  private async askSeed(
    seed: string,
    pauseKey: string,
    { repository, tag }: { repository: Repository; tag: Tag },
    signal: AbortSignal
  ): Promise<TagAnswer | undefined> {
    const { seedPauseMs, maxSeedPauseMs, slowAfterMs } = this.#options
    const ttl = Math.min((this.#lastPauses.get(pauseKey) ?? seedPauseMs / 2) * 2, maxSeedPauseMs)
    const pause = () => {
      this.#pausedSeeds.set(pauseKey, true, { ttl })
      this.#lastPauses.set(pauseKey, ttl)
    }
    const slow = setTimeout(pause, slowAfterMs)
    // One that can't be asked is one that does not answer.
    const answer = await this.#components.client.resolve(seed, repository, tag, signal).catch(() => undefined)
    clearTimeout(slow)
    if (!answer) pause()
    else for (const paused of [this.#pausedSeeds, this.#lastPauses]) paused.delete(pauseKey)
    return answer
  }
}

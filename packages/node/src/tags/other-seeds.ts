import type { TagClient } from '@layermesh/mesh'
import type { Repository, Tag } from '@layermesh/oci'
import type { TrustPolicy } from '@layermesh/trust'
import { LRUCache } from 'lru-cache'
import type { TagRecords } from './tag-records.ts'

export interface OtherSeedsComponents {
  readonly peerId: string
  readonly trust: Pick<TrustPolicy, 'signersFor'>
  readonly client: Pick<TagClient, 'resolve'>
  readonly records: Pick<TagRecords, 'take'>
  connected(): string[]
}

/** They have so long to answer; neither a change nor an answer waits for one that is slow. */
const DEADLINE_MS = 700
/** For an answer, what they said so long ago is good enough: they tell of each change by themselves. */
const REFRESH_AFTER_MS = 10_000
const TAGS_REMEMBERED = 1_024
/** One that did not answer is not asked again for so long. */
const PAUSE_MS = 3_000
const MAX_PAUSED = 64

/**
 * The other seeds that may sign for the same repositories as this one. Seeds tell each other of each record that they
 * sign; what one missed while it was away it learns by asking, before it answers or changes a tag.
 */
export class OtherSeeds {
  readonly #components: OtherSeedsComponents
  readonly #asked = new LRUCache<string, true>({ max: TAGS_REMEMBERED, ttl: REFRESH_AFTER_MS })
  readonly #paused = new LRUCache<string, true>({ max: MAX_PAUSED, ttl: PAUSE_MS })

  constructor(components: OtherSeedsComponents) {
    this.#components = components
  }

  /** Whether this peer is one of them for the repository. */
  include(peerId: string, repository: Repository): boolean {
    return this.signersFor(repository).includes(peerId)
  }

  /** Takes in what those that are connected know of a tag, as far as they answer in time. */
  async ask(repository: Repository, tag: Tag): Promise<void> {
    const others = this.signersFor(repository)
    if (others.length === 0) return
    const here = new Set(this.#components.connected())
    const asked = others.filter((seed) => here.has(seed) && !this.#paused.has(seed))
    const deadline = AbortSignal.timeout(DEADLINE_MS)
    await Promise.all(asked.map((seed) => this.askOne(seed, repository, tag, deadline)))
    this.#asked.set(`${repository}:${tag}`, true)
  }

  /** The same, unless they were asked a moment ago. */
  async refresh(repository: Repository, tag: Tag): Promise<void> {
    if (!this.#asked.has(`${repository}:${tag}`)) await this.ask(repository, tag)
  }

  private async askOne(seed: string, repository: Repository, tag: Tag, deadline: AbortSignal): Promise<void> {
    const { client, records } = this.#components
    try {
      const { envelope, confirmedAt } = await client.resolve(seed, repository, tag, deadline)
      if (envelope) await records.take(envelope, seed, 'authority', { repository, tag }, confirmedAt)
    } catch {
      this.#paused.set(seed, true)
    }
  }

  private signersFor(repository: Repository): string[] {
    const { trust, peerId } = this.#components
    return trust.signersFor(repository).filter((signer) => signer !== peerId)
  }
}

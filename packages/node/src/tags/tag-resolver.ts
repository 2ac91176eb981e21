import { setTimeout as sleep } from 'node:timers/promises'
import type { TagAnswer, TagClient, TagDirectory } from '@layermesh/mesh'
import type { Repository, Tag } from '@layermesh/oci'
import type { TrustPolicy } from '@layermesh/trust'
import { LRUCache } from 'lru-cache'
import type { DirectTags } from './direct-tags.ts'
import type { OtherSeeds } from './other-seeds.ts'
import { type SeedAnswer, SeedAsking, type SeedAskingOptions } from './seed-asking.ts'
import type { TagAuthority } from './tag-authority.ts'
import { TagJudge, type TagJudgeComponents, type TagResolution } from './tag-judge.ts'
import type { AcceptedTag, TagRecords } from './tag-records.ts'
import type { UpstreamTags } from './upstream-tags.ts'

/** The tags of other registries; without them, all are the mesh's own. */
export interface MirroredTags {
  /** The registry that a repository is mirrored from. */
  hostOf(repository: Repository): string | undefined
  /** Only on a seed. */
  readonly upstream: Pick<UpstreamTags, 'current'> | undefined
  readonly direct: Pick<DirectTags, 'kept' | 'ask'>
}

export interface TagResolverComponents extends Omit<TagJudgeComponents, 'hostOf'> {
  readonly peerId: string
  readonly authority: TagAuthority | undefined
  readonly records: TagRecords
  /** Asked when this node is itself a seed for the repository. */
  readonly others: Pick<OtherSeeds, 'refresh'>
  readonly trust: TrustPolicy
  readonly client: Pick<TagClient, 'resolve'>
  readonly directory: Pick<TagDirectory, 'get'>
  readonly mirrored?: MirroredTags | undefined
  connected(): string[]
}

export interface TagResolverOptions extends Partial<Pick<SeedAskingOptions, 'seedPauseMs' | 'maxSeedPauseMs'>> {
  /** A connected seed has so long to answer before others are asked too, in ms. */
  readonly seedDeadlineMs: number
  /** When no seed has answered: time for it, for finding one, for peers and for the DHT, all at once, in ms. */
  readonly searchDeadlineMs: number
  readonly peersAsked: number
  /** How long the registry is waited for that a tag is mirrored from, in ms; shorter when an older answer will do. */
  readonly upstreamDeadlineMs: number
  readonly upstreamPatienceMs: number
  /** A mirrored tag means the same for so long at least, so that a client that asks twice gets one image, in ms. */
  readonly pinMs: number
}

const TAG_RESOLVER_DEFAULTS: TagResolverOptions = Object.freeze({
  seedDeadlineMs: 1_500,
  searchDeadlineMs: 700,
  peersAsked: 8,
  upstreamDeadlineMs: 15_000,
  upstreamPatienceMs: 1_500,
  pinMs: 3_000
})

const MAX_PINNED = 1_024

/**
 * Finds out what a tag means (DESIGN §3, Tags): a fresh signed record that is here; else the word of a seed; when none
 * answers, what is here if the policy allows it; else the newest that peers or, at last, the DHT know of.
 */
export class TagResolver {
  readonly #components: TagResolverComponents
  readonly #options: TagResolverOptions
  readonly #resolving = new Map<string, Promise<TagResolution | undefined>>()
  readonly #seeds: SeedAsking
  readonly #judge: TagJudge
  readonly #pinned: LRUCache<string, TagResolution>

  constructor(components: TagResolverComponents, options: Partial<TagResolverOptions> = {}) {
    this.#components = components
    this.#options = { ...TAG_RESOLVER_DEFAULTS, ...options }
    this.#seeds = new SeedAsking(components, { ...options, slowAfterMs: this.#options.seedDeadlineMs })
    const { freshnessOf, onResolved, now } = components
    this.#judge = new TagJudge({ hostOf: (repository) => this.mirroredFrom(repository), freshnessOf, onResolved, now })
    this.#pinned = new LRUCache({
      max: MAX_PINNED,
      ttl: this.#options.pinMs,
      ttlResolution: 0,
      perf: { now }
    })
  }

  /**
   * Undefined when the tag is not known, or was deleted. Takes no signal: it ends by its own deadlines, and all who ask
   * for the same tag at one time share it, so that none of them may end it for the others.
   * @throws {OciError} UNAVAILABLE when all that is known is too old to be believed
   */
  resolve(repository: Repository, tag: Tag): Promise<TagResolution | undefined> {
    const key = `${repository}:${tag}`
    const pinned = this.#pinned.get(key)
    if (pinned) return Promise.resolve(pinned)
    let resolving = this.#resolving.get(key)
    if (!resolving) {
      resolving = this.findAndPin(key, repository, tag).finally(() => this.#resolving.delete(key))
      this.#resolving.set(key, resolving)
    }
    return resolving
  }

  private async findAndPin(key: string, repository: Repository, tag: Tag): Promise<TagResolution | undefined> {
    const found = await this.find(repository, tag)
    if (found && this.mirroredFrom(repository) !== undefined) this.#pinned.set(key, found)
    return found
  }

  private async find(repository: Repository, tag: Tag): Promise<TagResolution | undefined> {
    const { authority, records } = this.#components
    if (authority?.isAuthority(repository)) return await this.findAsSeed(authority, repository, tag)

    const here = await records.get(repository, tag)
    if (here && this.#judge.isFresh(here)) return this.#judge.answer(here, 'local', true, repository)

    const seeds = this.#components.trust.signersFor(repository).filter((peerId) => peerId !== this.#components.peerId)
    if (seeds.length === 0 && this.mirroredFrom(repository) !== undefined)
      return await this.askDirectly(repository, tag, here)
    const connected = new Set(this.#components.connected())
    const { seedDeadlineMs, searchDeadlineMs } = this.#options
    const asking = this.#seeds.ask(
      seeds.filter((seed) => connected.has(seed)),
      repository,
      tag,
      seedDeadlineMs + searchDeadlineMs
    )
    const inTime = await answerWithin(seedDeadlineMs, asking)
    if (inTime) return this.answerOfSeed(inTime, here, repository)

    if (here && this.#judge.isAllowedStale(here) && !this.heardLater(here))
      return this.#judge.answer(here, 'local', false, repository)
    const away = seeds.filter((seed) => !connected.has(seed))
    return await this.search(repository, tag, { away, asking, here })
  }

  /** A seed knows by itself what its tags mean; of mirrored ones it asks their registry. */
  private async findAsSeed(
    authority: TagAuthority,
    repository: Repository,
    tag: Tag
  ): Promise<TagResolution | undefined> {
    const { others, mirrored, now, records } = this.#components
    await others.refresh(repository, tag)
    const known = mirrored?.upstream && (await records.get(repository, tag))
    const waitMs = this.waitFor(known && this.#judge.isBelievable(known))
    const word = await mirrored?.upstream?.current(repository, tag, waitMs)
    if (word) return this.#judge.answer(word.tag, word.asked ? 'upstream' : 'local', word.heard, repository)
    const current = await authority.current(repository, tag)
    return this.#judge.answer(current && { ...current, confirmedAt: now() }, 'local', true, repository)
  }

  /**
   * Asks the registry that a tag is mirrored from; when it does not answer, what it said before counts as the policy has
   * it, and so does a record that somebody signed once.
   */
  private async askDirectly(
    repository: Repository,
    tag: Tag,
    signed: AcceptedTag | undefined
  ): Promise<TagResolution | undefined> {
    const { mirrored, onResolved, now, freshnessOf } = this.#components
    const kept = mirrored?.direct.kept(repository, tag)
    const age = kept && now() - kept.confirmedAt
    const { maxAgeMs, maxStaleMs, clockSkewMs } = freshnessOf(repository)
    if (kept && age !== undefined && age <= maxAgeMs && age >= -clockSkewMs) {
      onResolved('local', 'ok')
      return { record: kept }
    }
    const willDo = kept && age !== undefined && age <= maxStaleMs && kept.confirmedAt >= (signed?.confirmedAt ?? 0)
    const answer = mirrored && (await answerWithin(this.waitFor(willDo), mirrored.direct.ask(repository, tag)))
    if (answer) {
      onResolved('upstream', answer.tag ? 'ok' : 'unknown')
      return answer.tag && { record: answer.tag }
    }
    if (willDo) {
      onResolved('local', 'stale')
      return { record: kept, warning: this.#judge.warningOf(repository, kept.confirmedAt) }
    }
    return this.#judge.answer(signed, 'local', false, repository)
  }

  /**
   * No seed has answered yet: looks for those that are away, asks peers and the DHT, all at once, and takes the newest
   * that comes of it, but for what a seed says after all. What can't be believed of a mirrored tag its registry may tell.
   */
  private async search(
    repository: Repository,
    tag: Tag,
    { away, asking, here }: { away: string[]; asking: Promise<SeedAnswer | undefined>; here: AcceptedTag | undefined }
  ): Promise<TagResolution | undefined> {
    const deadline = AbortSignal.timeout(this.#options.searchDeadlineMs)
    const found = this.#seeds.ask(away, repository, tag, this.#options.searchDeadlineMs)
    const [late, fromFound, fromPeers, fromDht] = await Promise.all([
      asking,
      found,
      this.askPeers(repository, tag, deadline),
      this.askDht(repository, tag, deadline)
    ])
    const fromSeed = late ?? fromFound
    if (fromSeed) return this.answerOfSeed(fromSeed, here, repository)
    const newest = [here, fromPeers, fromDht].reduce((best, next) =>
      (next?.record.sequence ?? -1) > (best?.record.sequence ?? -1) ? next : best
    )
    const isMirrored = this.mirroredFrom(repository) !== undefined
    if (isMirrored && !(newest && this.#judge.isBelievable(newest) && !this.heardLater(newest)))
      return await this.askDirectly(repository, tag, newest)
    return this.#judge.answer(
      newest,
      newest === fromDht ? 'dht' : newest === here ? 'local' : 'peer',
      false,
      repository
    )
  }

  private async askPeers(repository: Repository, tag: Tag, signal: AbortSignal): Promise<AcceptedTag | undefined> {
    let best: AcceptedTag | undefined
    const answering = this.#components.connected().filter((peerId) => !this.#seeds.isPaused(peerId))
    const peers = answering.slice(0, this.#options.peersAsked)
    await Promise.all(
      peers.map(async (peerId) => {
        const answer = await this.ask(peerId, repository, tag, signal)
        const taken =
          answer?.envelope &&
          (await this.#components.records.take(answer.envelope, peerId, 'hearsay', { repository, tag }))
        if (taken && taken.record.sequence > (best?.record.sequence ?? -1)) best = taken
      })
    )
    return best
  }

  private async askDht(repository: Repository, tag: Tag, signal: AbortSignal): Promise<AcceptedTag | undefined> {
    const envelope = await this.#components.directory.get(repository, tag, signal).catch(() => undefined)
    return envelope && (await this.#components.records.take(envelope, 'dht', 'hearsay', { repository, tag }))
  }

  private ask(peerId: string, repository: Repository, tag: Tag, signal: AbortSignal): Promise<TagAnswer | undefined> {
    // A peer that can't be asked is one that does not answer.
    return this.#components.client.resolve(peerId, repository, tag, signal).catch(() => undefined)
  }

  private answerOfSeed({ tag }: SeedAnswer, here: AcceptedTag | undefined, repository: Repository) {
    return this.#judge.answer(tag ?? here, 'seed', tag !== undefined || here === undefined, repository)
  }

  private waitFor(olderWillDo: boolean | undefined): number {
    const { upstreamPatienceMs, upstreamDeadlineMs } = this.#options
    return olderWillDo ? upstreamPatienceMs : upstreamDeadlineMs
  }

  /** Whether the registry of a mirrored tag told this node something after it had confirmed the record. */
  private heardLater({ record: { repository, tag }, confirmedAt }: AcceptedTag): boolean {
    return (this.#components.mirrored?.direct.kept(repository, tag)?.confirmedAt ?? 0) > confirmedAt
  }

  private mirroredFrom(repository: Repository): string | undefined {
    return this.#components.mirrored?.hostOf(repository)
  }
}

/** What is answered in that time; undefined when it takes longer. */
async function answerWithin<T>(ms: number, asking: Promise<T | undefined>): Promise<T | undefined> {
  const timer = new AbortController()
  try {
    return await Promise.race([asking, sleep(ms, undefined, { signal: timer.signal }).catch(() => undefined)])
  } finally {
    timer.abort()
  }
}

import { setTimeout as sleep } from 'node:timers/promises'
import type { Descriptor, Digest, Repository, Tag } from '@layermesh/oci'
import { type Caller, OPEN_CALLER } from '@layermesh/registry'
import type { FreshnessPolicy } from '@layermesh/trust'
import { LRUCache } from 'lru-cache'
import type { MirroredRepository, Mirrors } from '../mirror/mirrors.ts'
import type { ImmutableTags } from './immutable-tags.ts'
import type { TagAuthor, TagAuthority } from './tag-authority.ts'
import { type AcceptedTag, meaningOf, type TagRecords } from './tag-records.ts'

/** What a seed can say of a mirrored tag. */
export interface UpstreamWord {
  /** The signed record, a tombstone too; undefined when none is known. */
  readonly tag: AcceptedTag | undefined
  /** Whether this is the word of the registry, now or a moment ago; else it did not answer, and `tag` is what it said once. */
  readonly heard: boolean
  /** Whether it was asked just now. */
  readonly asked: boolean
}

export interface UpstreamTagsComponents {
  /** Peer id of this seed. */
  readonly peerId: string
  readonly mirrors: Pick<Mirrors, 'find'>
  readonly authority: Pick<TagAuthority, 'mirror' | 'confirm'>
  readonly records: Pick<TagRecords, 'get' | 'confirm'>
  readonly immutable: Pick<ImmutableTags, 'covers'>
  /** Has a manifest here, from the mesh or its registry; undefined when it can't be had. */
  bring(
    mirrored: MirroredRepository,
    digest: Digest,
    signal: AbortSignal
  ): Promise<Pick<Descriptor, 'digest' | 'mediaType' | 'size'> | undefined>
  freshnessOf(repository: Repository): FreshnessPolicy
  readonly log: { debug(fields: object, message: string): void }
  /** Milliseconds since 1970. */
  now(): number
}

export interface UpstreamTagsOptions {
  /** A check goes on for so long, whoever still waits for it, in ms. */
  readonly checkDeadlineMs: number
  /** A registry that did not answer for a tag, or has no such tag, is not asked for it again for so long, in ms. */
  readonly pauseMs: number
  /** Tags of which that is remembered. */
  readonly maxPaused: number
}

const DEFAULTS: UpstreamTagsOptions = Object.freeze({ checkDeadlineMs: 20_000, pauseMs: 3_000, maxPaused: 1_024 })

/**
 * Tags of other registries at the seed that may sign for them. It signs what they say, when they say it: a record that
 * is older than the policy has fresh is checked by `HEAD`, which no known registry counts (registries.md §3.4). When the
 * registry has another digest the manifest is brought here first, so that no tag is moved to what can't be had. Nothing
 * is signed that the registry has not said; while it does not answer, the record stays as old as it is.
 */
export class UpstreamTags {
  readonly #components: UpstreamTagsComponents
  readonly #options: UpstreamTagsOptions
  readonly #checking = new Map<string, Promise<UpstreamWord>>()
  readonly #failed: LRUCache<string, true>
  readonly #absent: LRUCache<string, true>

  constructor(components: UpstreamTagsComponents, options: Partial<UpstreamTagsOptions> = {}) {
    this.#components = components
    this.#options = { ...DEFAULTS, ...options }
    const { maxPaused: max, pauseMs: ttl } = this.#options
    const settings = { max, ttl, ttlResolution: 0, perf: { now: components.now } }
    this.#failed = new LRUCache(settings)
    this.#absent = new LRUCache(settings)
  }

  /**
   * What the registry says a tag means. All who ask for one tag at the same time share one check.
   * @param waitMs how long the registry is waited for; the check goes on afterwards
   * @returns undefined when the repository is not mirrored
   */
  async current(repository: Repository, tag: Tag, waitMs: number): Promise<UpstreamWord | undefined> {
    const mirrored = this.#components.mirrors.find(repository)
    if (!mirrored) return undefined
    const key = `${repository}:${tag}`
    const known = await this.#components.records.get(repository, tag)
    if (this.#absent.has(key) || (known && this.isFresh(known))) return { tag: known, heard: true, asked: false }
    if (this.isFixed(known, repository, tag)) {
      const confirmedAt = this.#components.now()
      await this.#components.records.confirm(known, confirmedAt)
      return { tag: { ...known, confirmedAt }, heard: true, asked: false }
    }
    if (this.#failed.has(key)) return { tag: known, heard: false, asked: false }
    let checking = this.#checking.get(key)
    if (!checking) {
      checking = this.check(mirrored, tag, key).finally(() => this.#checking.delete(key))
      this.#checking.set(key, checking)
    }
    return (await within(waitMs, checking)) ?? { tag: known, heard: false, asked: true }
  }

  private async check(mirrored: MirroredRepository, tag: Tag, key: string): Promise<UpstreamWord> {
    const { records, authority, now, log } = this.#components
    const { repository, host } = mirrored
    const askedAt = now()
    try {
      const digest = await this.follow(mirrored, tag, askedAt)
      await authority.confirm(repository, tag, digest, askedAt)
      if (digest === undefined) this.#absent.set(key, true)
      return { tag: await records.get(repository, tag), heard: true, asked: true }
    } catch (error) {
      log.debug({ repository, tag, host, err: error }, 'a registry did not say what a tag means')
      this.#failed.set(key, true)
      return { tag: await records.get(repository, tag), heard: false, asked: true }
    }
  }

  /** Has the tag mean what its registry says. @returns the digest; undefined when the registry has no such tag */
  private async follow(mirrored: MirroredRepository, tag: Tag, askedAt: number): Promise<Digest | undefined> {
    const { authority, records, bring, peerId } = this.#components
    const { repository, registry, name, host } = mirrored
    const signal = AbortSignal.timeout(this.#options.checkDeadlineMs)
    const author: TagAuthor = { caller: registryAsCaller(host), node: peerId }
    const head = await registry.headManifest(name, tag, { signal })
    if (head === undefined) {
      await authority.mirror(repository, tag, undefined, author, askedAt)
      return undefined
    }
    const known = await records.get(repository, tag)
    if (known && meaningOf(known.record) === head.digest) return head.digest
    const manifest = await bring(mirrored, head.digest, signal)
    if (manifest === undefined) throw new Error(`the manifest ${head.digest} can not be had`)
    await authority.mirror(repository, tag, manifest, author, askedAt)
    return head.digest
  }

  /** Whether the operator says that the tag goes on meaning what it means, whatever its registry says. */
  private isFixed(known: AcceptedTag | undefined, repository: Repository, tag: Tag): known is AcceptedTag {
    return (
      known !== undefined && meaningOf(known.record) !== undefined && this.#components.immutable.covers(repository, tag)
    )
  }

  private isFresh({ record, confirmedAt }: AcceptedTag): boolean {
    const { now, freshnessOf } = this.#components
    const { maxAgeMs } = freshnessOf(record.repository)
    // That there is no such tag is true for a moment only: somebody may be about to push it.
    const maxMs = meaningOf(record) === undefined ? Math.min(maxAgeMs, this.#options.pauseMs) : maxAgeMs
    const age = now() - Math.max(confirmedAt, record.issuedAt)
    return now() < record.expiresAt && age <= maxMs && age >= 0
  }
}

/** On whose behalf a seed changes mirrored tags: no user can have this name, by which events and histories show it. */
function registryAsCaller(host: string): Caller {
  return { ...OPEN_CALLER, name: `upstream:${host}` }
}

/** What the check says in that time; undefined when it needs longer. */
async function within<T>(ms: number, checking: Promise<T>): Promise<T | undefined> {
  const timer = new AbortController()
  try {
    return await Promise.race([checking, sleep(ms, undefined, { signal: timer.signal }).catch(() => undefined)])
  } finally {
    timer.abort()
  }
}

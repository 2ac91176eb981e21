import { setTimeout as sleep } from 'node:timers/promises'
import { type Descriptor, type Digest, OciError, type Repository, type Tag } from '@layermesh/oci'
import type { Caller } from '@layermesh/registry'
import { isTombstone, type TagRecord, type TrustPolicy } from '@layermesh/trust'
import { refusal, requireOwn } from '../backend/rights.ts'
import type { ImmutableTags } from './immutable-tags.ts'
import type { OtherSeeds } from './other-seeds.ts'
import type { SeedSync } from './seed-sync.ts'
import { type AcceptedTag, changeOf, meaningOf } from './tag-records.ts'
import { TagSigner, type TagSignerComponents } from './tag-signer.ts'

export interface TagAuthorityComponents extends TagSignerComponents {
  readonly trust: Pick<TrustPolicy, 'maySign' | 'isRetiring'>
  readonly immutable: Pick<ImmutableTags, 'covers'>
  /** The registry whose word counts for the repository, such as `docker.io`; undefined when it is the mesh's own. */
  mirroredFrom?(repository: Repository): string | undefined
  /** Asked before each change what they know of the tag. */
  readonly others: Pick<OtherSeeds, 'ask'>
  /** Brings in the tags of other seeds that were never heard of here. */
  readonly sync: Pick<SeedSync, 'run'>
  /** Told of each change, in order for each tag, before whoever asked for it is; a failure is told to them. */
  onChange?(change: TagChange): Promise<void>
  onRenewalFailed(error: unknown): void
}

export interface TagAuthorityOptions {
  /** How long a record holds, in ms. */
  readonly validityMs: number
  /**
   * A record older than this is signed anew when somebody asks, so that what nodes keep for the time without a seed
   * carries a late date.
   */
  readonly renewAfterMs: number
  /** How often records that nobody asks for are looked through for those past `sweepAfterMs`. */
  readonly sweepEveryMs: number
  readonly sweepAfterMs: number
  /** Rest after each record that is signed in such a walk, in ms: peers are told of each, and must not take it for a flood. */
  readonly sweepPauseMs: number
}

/** On whose behalf a tag is changed, and the peer id of the node that they spoke to. */
export interface TagAuthor {
  readonly caller: Caller
  readonly node: string
}

/** What a tag meant, and means now; the same when it was asked to mean what it means already. */
export interface TagChange {
  readonly before: TagRecord | undefined
  readonly record: TagRecord
  readonly author: TagAuthor
}

type ManifestDescriptor = Pick<Descriptor, 'digest' | 'mediaType' | 'size'>

/** What a tag is to mean from now on; `unchanged` what it means already; undefined when there is nothing to do. */
type Decision = ManifestDescriptor | { readonly deleted: true } | 'unchanged' | undefined

/** How often a change is decided anew because another seed signed in between. */
const ATTEMPTS = 3
/** What walks over all tags take turns by: no name of a tag. */
const SWEEP = '*'

/**
 * Signs what tags mean: the part of a seed that others trust. Changes of one tag happen one after the other, and whether
 * one is allowed is judged in the same step, by what the tag means at that moment.
 */
export class TagAuthority {
  readonly #components: TagAuthorityComponents
  readonly #options: TagAuthorityOptions
  readonly #signer: TagSigner
  readonly #changing = new Map<string, Promise<unknown>>()
  #sweeper: NodeJS.Timeout | undefined
  #sweepWaits = false
  readonly #stopped = new AbortController()

  constructor(components: TagAuthorityComponents, options: TagAuthorityOptions) {
    this.#components = components
    this.#options = options
    this.#signer = new TagSigner(components, options.validityMs)
  }

  /** Whether this node's word counts for the repository. */
  isAuthority(repository: Repository): boolean {
    return this.#components.trust.maySign(this.#components.peerId, repository)
  }

  /** Whether another registry says what the tags of the repository mean. */
  isMirrored(repository: Repository): boolean {
    return this.#components.mirroredFrom?.(repository) !== undefined
  }

  start(): void {
    this.renewSoon()
    this.#sweeper = setInterval(() => this.renewSoon(), this.#options.sweepEveryMs)
    this.#sweeper.unref()
  }

  /** Has all that is due signed anew, once it was heard of; when that goes on already, it is begun again after it. */
  renewSoon(): void {
    if (this.#sweepWaits) return
    this.#sweepWaits = true
    this.exclusively(SWEEP, () => this.sweep()).catch((error) => {
      if (!this.#stopped.signal.aborted) this.#components.onRenewalFailed(error)
    })
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    clearInterval(this.#sweeper)
    await Promise.allSettled(this.#changing.values())
  }

  /**
   * Has a tag mean this manifest; durable when it resolves. That it means it already is no change.
   * @returns the signed record
   * @throws {OciError} DENIED, UNAUTHORIZED when the caller may not create or update, or the tag is immutable
   */
  async set(repository: Repository, tag: Tag, manifest: ManifestDescriptor, author: TagAuthor): Promise<Uint8Array> {
    this.requireOwn(repository)
    const { digest, mediaType, size } = manifest
    const signed = await this.change(repository, tag, author, (known) => {
      if (known && meaningOf(known.record) === digest) return 'unchanged'
      this.judgeSet(repository, tag, known, author.caller)
      return { digest, mediaType, size }
    })
    return signed ?? this.renewed(repository, tag)
  }

  /** Refuses what {@link set} would refuse by what the tag means now, before anything was done for it. @throws {OciError} */
  async judge(repository: Repository, tag: Tag, digest: Digest, caller: Caller): Promise<void> {
    this.requireOwn(repository)
    const known = await this.#components.records.get(repository, tag)
    if (!known || meaningOf(known.record) !== digest) this.judgeSet(repository, tag, known, caller)
  }

  /**
   * Deletes a tag, if it means `digest` where that is given.
   * @returns the signed tombstone; undefined when there is no such tag
   * @throws {OciError} DENIED when the tag is immutable
   */
  async remove(repository: Repository, tag: Tag, author: TagAuthor, digest?: Digest): Promise<Uint8Array | undefined> {
    this.requireOwn(repository)
    return await this.change(repository, tag, author, (known) => {
      const meaning = known && meaningOf(known.record)
      if (meaning === undefined || (digest !== undefined && meaning !== digest)) return undefined
      this.requireMutable(repository, tag)
      return { deleted: true }
    })
  }

  /** Has a tag mean again what it meant before, immutable or not: the operator says so. @returns the signed record */
  async restore(
    repository: Repository,
    tag: Tag,
    manifest: ManifestDescriptor,
    author: TagAuthor
  ): Promise<Uint8Array> {
    this.requireOwn(repository)
    const { digest, mediaType, size } = manifest
    const signed = await this.change(repository, tag, author, (known) =>
      known && meaningOf(known.record) === digest ? 'unchanged' : { digest, mediaType, size }
    )
    return signed ?? this.renewed(repository, tag)
  }

  /**
   * Has a mirrored tag mean what its registry says, or be gone when that has no such tag. That it means it already, or is
   * immutable, is no change; nor is what was said before another seed heard something else.
   * @param askedAt when the registry was asked, in ms since 1970
   */
  async mirror(
    repository: Repository,
    tag: Tag,
    manifest: ManifestDescriptor | undefined,
    author: TagAuthor,
    askedAt: number
  ): Promise<void> {
    await this.change(repository, tag, author, (known) => {
      if (known && Math.max(known.confirmedAt, known.record.issuedAt) > askedAt) return undefined
      const meaning = known && meaningOf(known.record)
      if (meaning === manifest?.digest) return undefined
      if (meaning !== undefined && this.#components.immutable.covers(repository, tag)) return undefined
      return manifest ?? { deleted: true }
    })
  }

  /**
   * Its registry has said of a mirrored tag that it means this, or that there is none: the only reason to sign it anew.
   * @param at when it was asked, in ms since 1970
   */
  async confirm(repository: Repository, tag: Tag, digest: Digest | undefined, at: number): Promise<void> {
    await this.exclusively(`${repository}:${tag}`, async () => {
      const before = await this.#components.records.newest(repository, tag)
      const { known } = before
      if (!known || meaningOf(known.record) !== digest) return
      if (this.age(known.record) < this.#options.renewAfterMs) await this.#components.records.confirm(known, at)
      else await this.#signer.renew(known, before)
    })
  }

  /** The newest record, signed anew when its date is old; tombstones too. A mirrored one is given as it is. */
  async current(repository: Repository, tag: Tag): Promise<AcceptedTag | undefined> {
    const known = await this.#components.records.get(repository, tag)
    if (this.isMirrored(repository)) return known
    if (!known || this.age(known.record) < this.#options.renewAfterMs) return known
    await this.renew(repository, tag, this.#options.renewAfterMs)
    return await this.#components.records.get(repository, tag)
  }

  /**
   * Signs anew what is old, and what was signed by seeds that are about to go, so that it outlives their word. Not what
   * is mirrored, of which a later date would say that its registry has confirmed it; nor tombstones when all that was
   * signed before them has expired, so that those can be forgotten.
   */
  async renewOld(): Promise<void> {
    const { tags, trust } = this.#components
    for await (const { repository, tag, digest } of tags.all()) {
      if (this.#stopped.signal.aborted) return
      if (!this.isAuthority(repository) || this.isMirrored(repository)) continue
      if (digest === undefined && (await this.isLongDeleted(repository, tag))) continue
      const renewed = await this.renew(repository, tag, this.#options.sweepAfterMs, (signer) =>
        trust.isRetiring(signer)
      )
      if (renewed) await sleep(this.#options.sweepPauseMs, undefined, { signal: this.#stopped.signal }).catch(() => {})
    }
  }

  /** Does the work once all that came before under the same key has ended. */
  async exclusively<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#changing.get(key) ?? Promise.resolve()
    const running = before.catch(() => {}).then(work)
    this.#changing.set(key, running)
    try {
      return await running
    } finally {
      if (this.#changing.get(key) === running) this.#changing.delete(key)
    }
  }

  private async sweep(): Promise<void> {
    this.#sweepWaits = false
    await this.#components.sync.run(this.#stopped.signal)
    await this.renewOld()
  }

  private requireOwn(repository: Repository): void {
    requireOwn(this.#components.mirroredFrom?.(repository), repository)
  }

  private judgeSet(repository: Repository, tag: Tag, known: AcceptedTag | undefined, caller: Caller): void {
    const action = known && !isTombstone(known.record) ? 'update' : 'create'
    if (!caller.may(action, repository)) throw refusal(caller, action, repository, tag)
    if (action === 'update') this.requireMutable(repository, tag)
  }

  private requireMutable(repository: Repository, tag: Tag): void {
    if (!this.#components.immutable.covers(repository, tag)) return
    throw new OciError(
      'DENIED',
      `the tag ${tag} is immutable: it can be neither moved nor deleted; push under another tag`,
      {
        detail: { repository, tag }
      }
    )
  }

  /** Decides by what the tag means now and signs, in one step; decides anew when another seed was quicker. */
  private change(
    repository: Repository,
    tag: Tag,
    author: TagAuthor,
    decide: (known: AcceptedTag | undefined) => Decision
  ): Promise<Uint8Array | undefined> {
    const { caller, node } = author
    const by = { ...(caller.name !== undefined && { actor: caller.name }), node }
    return this.exclusively(`${repository}:${tag}`, async () => {
      await this.#components.others.ask(repository, tag)
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const before = await this.#components.records.newest(repository, tag)
        const decision = decide(before.known)
        if (!decision) return undefined
        if (decision === 'unchanged') {
          // Whoever was not told of the change repeats it, and may have been the one to tell others.
          if (before.known) await this.tell(before.known.record, before.known.record, author)
          return undefined
        }
        const record = { ...(await this.#signer.next(repository, tag, before, 'change')), ...decision }
        const history = changeOf(record, this.#components.peerId, before.known && meaningOf(before.known.record), by)
        const envelope = await this.#signer.sign(record, before, history)
        if (!envelope) continue
        await this.tell(before.known?.record, record, author)
        return envelope
      }
      throw new OciError('UNAVAILABLE', 'other seeds change the tag at the same moment; try again')
    })
  }

  private async tell(before: TagRecord | undefined, record: TagRecord, author: TagAuthor): Promise<void> {
    await this.#components.onChange?.({ before, record, author })
  }

  private async renewed(repository: Repository, tag: Tag): Promise<Uint8Array> {
    const current = await this.current(repository, tag)
    if (current) return current.envelope
    throw new OciError('UNAVAILABLE', 'the tag was changed at the same moment; try again')
  }

  private async renew(
    repository: Repository,
    tag: Tag,
    olderThanMs: number,
    alsoOf: (signer: string) => boolean = () => false
  ): Promise<boolean> {
    return await this.exclusively(`${repository}:${tag}`, async () => {
      const before = await this.#components.records.newest(repository, tag)
      const { known } = before
      if (!known || (this.age(known.record) < olderThanMs && !alsoOf(known.signer))) return false
      await this.#signer.renew(known, before)
      return true
    })
  }

  /** Whether a tag was deleted so long ago that no record of before holds any more. */
  private async isLongDeleted(repository: Repository, tag: Tag): Promise<boolean> {
    const { tags, now } = this.#components
    const [last] = await tags.history(repository, tag, { limit: 1 })
    return last !== undefined && last.digest === undefined && now() - last.at > this.#options.validityMs
  }

  private age(record: TagRecord): number {
    return this.#components.now() - record.issuedAt
  }
}

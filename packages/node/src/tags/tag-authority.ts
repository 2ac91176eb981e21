import type { Tags } from '@layermesh/content'
import { type Descriptor, OciError, type Repository, type Tag } from '@layermesh/oci'
import { isTombstone, sealTagRecord, type TagRecord, type TrustPolicy } from '@layermesh/trust'
import type { AcceptedTag, TagRecords } from './tag-records.ts'

/** Seals with this node's key. */
export type PrivateKey = Parameters<typeof sealTagRecord>[1]

export interface TagAuthorityComponents {
  readonly peerId: string
  readonly privateKey: PrivateKey
  readonly records: TagRecords
  readonly tags: Tags
  readonly trust: TrustPolicy
  /** Spreads a new record: to connected peers and into the DHT. Does not wait for them. */
  publish(repository: Repository, tag: Tag, envelope: Uint8Array): void
  onRenewalFailed(error: unknown): void
  /** Milliseconds since 1970. */
  now(): number
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
}

/** Signs what tags mean: the part of a seed that others trust. Changes of one tag happen one after the other. */
export class TagAuthority {
  readonly #components: TagAuthorityComponents
  readonly #options: TagAuthorityOptions
  readonly #changing = new Map<string, Promise<unknown>>()
  #sweeper: NodeJS.Timeout | undefined

  constructor(components: TagAuthorityComponents, options: TagAuthorityOptions) {
    this.#components = components
    this.#options = options
  }

  /** Whether this node's word counts for the repository. */
  isAuthority(repository: Repository): boolean {
    return this.#components.trust.maySign(this.#components.peerId, repository)
  }

  start(): void {
    this.#sweeper = setInterval(() => {
      this.renewOld().catch((error) => this.#components.onRenewalFailed(error))
    }, this.#options.sweepEveryMs)
    this.#sweeper.unref()
  }

  async stop(): Promise<void> {
    clearInterval(this.#sweeper)
    await Promise.allSettled(this.#changing.values())
  }

  /** Has a tag mean this manifest; durable when it resolves. @returns the signed record */
  set(
    repository: Repository,
    tag: Tag,
    manifest: Pick<Descriptor, 'digest' | 'mediaType' | 'size'>
  ): Promise<Uint8Array> {
    return this.change(repository, tag, async () => {
      const { digest, mediaType, size } = manifest
      return await this.sign({ ...(await this.statement(repository, tag)), digest, mediaType, size })
    })
  }

  /** Deletes a tag. @returns the signed tombstone; undefined when there is no such tag */
  remove(repository: Repository, tag: Tag): Promise<Uint8Array | undefined> {
    return this.change(repository, tag, async (known) => {
      if (!known || isTombstone(known.record)) return undefined
      return await this.sign({ ...(await this.statement(repository, tag)), deleted: true })
    })
  }

  /** The newest record, signed anew when its date is old; tombstones too. */
  async current(repository: Repository, tag: Tag): Promise<AcceptedTag | undefined> {
    const known = await this.#components.records.get(repository, tag)
    if (!known || this.age(known.record) < this.#options.renewAfterMs) return known
    await this.renew(repository, tag, this.#options.renewAfterMs)
    return await this.#components.records.get(repository, tag)
  }

  private async renewOld(): Promise<void> {
    for await (const { repository, tag } of this.#components.tags.all()) {
      if (this.isAuthority(repository)) await this.renew(repository, tag, this.#options.sweepAfterMs)
    }
  }

  private async renew(repository: Repository, tag: Tag, olderThanMs: number): Promise<void> {
    await this.change(repository, tag, async (known) => {
      if (!known || this.age(known.record) < olderThanMs) return
      await this.sign({ ...known.record, ...(await this.statement(repository, tag)) })
    })
  }

  private age(record: TagRecord): number {
    return this.#components.now() - record.issuedAt
  }

  /** The sequence goes on from the last record, whoever signed it: nodes go by the number alone. */
  private async statement(repository: Repository, tag: Tag) {
    const { tags, now } = this.#components
    const issuedAt = now()
    const sequence = ((await tags.get(repository, tag))?.sequence ?? 0) + 1
    return { repository, tag, sequence, issuedAt, expiresAt: issuedAt + this.#options.validityMs }
  }

  private async sign(record: TagRecord): Promise<Uint8Array> {
    const { records, privateKey, publish } = this.#components
    const envelope = await sealTagRecord(record, privateKey)
    if (!(await records.keep(record, envelope, record.issuedAt))) {
      throw new OciError('UNAVAILABLE', 'the tag was changed by another seed at the same moment; try again')
    }
    publish(record.repository, record.tag, envelope)
    return envelope
  }

  private async change<T>(
    repository: Repository,
    tag: Tag,
    apply: (known: AcceptedTag | undefined) => Promise<T>
  ): Promise<T> {
    const key = `${repository}:${tag}`
    const before = this.#changing.get(key) ?? Promise.resolve()
    const change = before.catch(() => {}).then(async () => apply(await this.#components.records.get(repository, tag)))
    this.#changing.set(key, change)
    try {
      return await change
    } finally {
      if (this.#changing.get(key) === change) this.#changing.delete(key)
    }
  }
}

import type { TagHistoryEntry, Tags } from '@layermesh/content'
import type { Repository, Tag } from '@layermesh/oci'
import { nextSequence, type PrivateKey, sealTagRecord, type TagRecord } from '@layermesh/trust'
import type { TagRecords } from './tag-records.ts'

export interface TagSignerComponents {
  readonly peerId: string
  readonly privateKey: PrivateKey
  readonly records: TagRecords
  readonly tags: Tags
  /** Spreads a new record: to connected peers and into the DHT. Does not wait for them. */
  publish(repository: Repository, tag: Tag, envelope: Uint8Array): void
  /** Milliseconds since 1970. */
  now(): number
}

/** What is here of a tag, by which its next record is made. */
export type Newest = Awaited<ReturnType<TagRecords['newest']>>

/** No seed gets so far in its time; a signer whom nobody believes any more may have said so to leave no number to others. */
export const MAX_PLAUSIBLE_SEQUENCE = 2 ** 51

/** Makes the next record of a tag, and signs, keeps and spreads it. */
export class TagSigner {
  readonly #components: TagSignerComponents
  readonly #validityMs: number

  /** @param validityMs how long a record holds */
  constructor(components: TagSignerComponents, validityMs: number) {
    this.#components = components
    this.#validityMs = validityMs
  }

  /**
   * What the next record of a tag says besides what the tag means. The sequence goes on from the last record, also from
   * one whose signer nobody believes any more, since nodes that did not hear of that go by the number. After one that was
   * forgotten it goes on from the highest that was forgotten.
   */
  async next(repository: Repository, tag: Tag, { entry, known }: Newest, kind: 'change' | 'renewal') {
    const issuedAt = this.#components.now()
    const last = entry?.sequence ?? (await this.#components.tags.forgotten(repository))
    const plausible = known !== undefined || last < MAX_PLAUSIBLE_SEQUENCE
    const sequence = nextSequence(plausible ? last : await this.#lastOfOwn(repository, tag), kind)
    return { repository, tag, sequence, issuedAt, expiresAt: issuedAt + this.#validityMs }
  }

  /** @returns undefined when a newer record is here by now */
  async sign(record: TagRecord, { entry, known }: Newest, history?: TagHistoryEntry): Promise<Uint8Array | undefined> {
    const { records, privateKey, publish } = this.#components
    const envelope = await sealTagRecord(record, privateKey)
    // An entry whose signer counts no more gives way, whatever its sequence is.
    const replaces = known || !entry ? {} : { replaces: entry.envelope }
    if (!(await records.keep(record, envelope, { ...replaces, ...(history && { history }) }))) return undefined
    publish(record.repository, record.tag, envelope)
    return envelope
  }

  /** Signs anew what is known; nothing happens when another seed was quicker, since it is renewed then. */
  async renew({ record }: NonNullable<Newest['known']>, before: Newest): Promise<void> {
    await this.sign({ ...record, ...(await this.next(record.repository, record.tag, before, 'renewal')) }, before)
  }

  async #lastOfOwn(repository: Repository, tag: Tag): Promise<number> {
    const { tags, peerId } = this.#components
    const history = await tags.history(repository, tag, { limit: Number.MAX_SAFE_INTEGER })
    return Math.max(0, ...history.filter(({ signer }) => signer === peerId).map(({ sequence }) => sequence))
  }
}

import type { TagEntry, TagHistoryEntry, Tags } from '@layermesh/content'
import type { Repository, Tag } from '@layermesh/oci'
import {
  type Acceptance,
  acceptance,
  isTombstone,
  isTrustError,
  type OpenedTagRecord,
  openTrustedTagRecord,
  type TagRecord,
  type TrustPolicy
} from '@layermesh/trust'
import { type ForeignUse, type RefusalReason, type RefusedRecord, reasonOf } from './refusals.ts'

/** A tag record that passed: signed by who may, for the tag that it was asked for, and never older than one seen before. */
export interface AcceptedTag {
  readonly record: TagRecord
  readonly signer: string
  readonly envelope: Uint8Array
  /**
   * When an authority last said that it is the newest, in ms since 1970; of a mirrored tag, when its registry said so to
   * a seed.
   */
  readonly confirmedAt: number
}

export interface TagRecordsComponents {
  readonly tags: Tags
  readonly trust: Pick<TrustPolicy, 'maySign' | 'isSigner'>
  /** Told of each record that was refused. */
  onRefused(refusal: RefusedRecord): void
  /** Peer id of this node. */
  readonly peerId: string
  /** Told of a record that this node's key signed, and not this node: the key is used elsewhere, or its data was set back. */
  onForeignUse(use: ForeignUse): void
  /**
   * Whether its tags mean what another registry says: then a seed's word is as old as what that registry told it last.
   * @default never
   */
  isMirrored?(repository: Repository): boolean
  /** Whether what others signed for this repository is remembered in the history of its tags. */
  keepsHistory(repository: Repository): boolean
  /** Milliseconds since 1970. */
  now(): number
}

/** How often a record is judged anew because another one was kept meanwhile. */
const ATTEMPTS = 3
const REFUSED: Readonly<Partial<Record<Acceptance, RefusalReason>>> = Object.freeze({
  rollback: 'rollback',
  conflict: 'conflict',
  expired: 'expired',
  'from-the-future': 'from_the_future'
})

/** The signed records that this node keeps: the one door through which any of them comes in. */
export class TagRecords {
  readonly #components: TagRecordsComponents

  constructor(components: TagRecordsComponents) {
    this.#components = components
  }

  /** The newest record that is here, tombstones too. A signer who is no longer trusted counts no more. */
  async get(repository: Repository, tag: Tag): Promise<AcceptedTag | undefined> {
    return (await this.newest(repository, tag)).known
  }

  /** What is kept of a tag, and the record in it if its signer still counts. */
  async newest(
    repository: Repository,
    tag: Tag
  ): Promise<{ readonly entry: TagEntry | undefined; readonly known: AcceptedTag | undefined }> {
    const entry = await this.#components.tags.get(repository, tag)
    return { entry, known: entry && (await this.believed(entry, repository, tag)) }
  }

  /**
   * Takes a record from a peer if it is valid and not older than what is here.
   *
   * @param from the peer that sent it
   * @param word `authority`: an authority sent it as its newest; `hearsay`: somebody who may be behind sent it;
   *   `signer`: the newest if the one who signed it sent it, else hearsay
   * @param wanted the tag that was asked for; a record for another one is refused
   * @param toldConfirmedAt when the sender says that it was confirmed; counts for mirrored tags
   * @returns what is here for that tag afterwards; undefined when the record was refused
   */
  async take(
    envelope: Uint8Array,
    from: string,
    word: 'authority' | 'signer' | 'hearsay',
    wanted?: { repository: Repository; tag: Tag },
    toldConfirmedAt = 0
  ): Promise<AcceptedTag | undefined> {
    const { trust, onRefused } = this.#components
    const opened = await openTrustedTagRecord(envelope, trust).catch((error: unknown) => {
      onRefused({ reason: reasonOf(error), from, ...wanted })
      return undefined
    })
    if (!opened) return undefined
    const { repository, tag } = opened.record
    if (wanted && (wanted.repository !== repository || wanted.tag !== tag)) {
      onRefused({ reason: 'wrong_tag', from, ...wanted })
      return undefined
    }
    const confirmed = word === 'authority' || (word === 'signer' && from === opened.signer)
    const confirmedAt = confirmed ? this.confirmationOf(opened.record, toldConfirmedAt) : undefined
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const taken = await this.judgeAndKeep({ ...opened, envelope }, from, confirmedAt)
      if (taken !== 'overtaken') return taken
    }
    return await this.get(repository, tag)
  }

  /** Remembers that this very record was confirmed as the newest at that time, in ms since 1970. */
  async confirm({ record, envelope }: AcceptedTag, at: number): Promise<void> {
    await this.#components.tags.put(record.repository, record.tag, entryOf(record, envelope, at))
  }

  /**
   * Keeps a record that this node signed.
   * @param replaces the envelope that may give way to it because nobody believes its signer any more
   * @returns false when a newer one is here
   */
  async keep(
    record: TagRecord,
    envelope: Uint8Array,
    options: { history?: TagHistoryEntry; replaces?: Uint8Array } = {}
  ): Promise<boolean> {
    const entry = entryOf(record, envelope, record.issuedAt)
    return (await this.#components.tags.put(record.repository, record.tag, entry, options)) === 'stored'
  }

  private confirmationOf({ repository, issuedAt }: TagRecord, toldConfirmedAt: number): number {
    const { now, isMirrored } = this.#components
    return isMirrored?.(repository) ? Math.min(now(), Math.max(issuedAt, toldConfirmedAt)) : now()
  }

  /**
   * @param confirmed when an authority said that it is the newest; undefined when none did
   * @returns `overtaken` when another record was kept meanwhile, so that all is to be judged anew
   */
  private async judgeAndKeep(
    { record, signer, envelope }: OpenedTagRecord & { envelope: Uint8Array },
    from: string,
    confirmed: number | undefined
  ): Promise<AcceptedTag | undefined | 'overtaken'> {
    const { tags, now, onRefused } = this.#components
    const { repository, tag } = record
    const { entry, known } = await this.newest(repository, tag)
    const verdict = acceptance(
      known && { ...known, sequence: known.record.sequence },
      { record, envelope, signer },
      now()
    )
    if (signer === this.#components.peerId && (verdict === 'newer' || verdict === 'conflict'))
      this.#components.onForeignUse({ from, repository, tag, sequence: record.sequence })
    const refused = REFUSED[verdict]
    if (refused) {
      onRefused({ reason: refused, from, repository, tag })
      return undefined
    }
    if (verdict === 'outranked') return known
    const confirmedAt = Math.max(confirmed ?? record.issuedAt, verdict === 'same' ? (known?.confirmedAt ?? 0) : 0)
    const taken = { record, signer, envelope, confirmedAt }
    if (verdict === 'same' && confirmed === undefined) return taken
    const options = { ...this.historyOf(taken, known), ...(entry && { replaces: entry.envelope }) }
    const result = await tags.put(repository, tag, entryOf(record, envelope, confirmedAt), options)
    return result === 'stored' ? taken : 'overtaken'
  }

  private async believed(entry: TagEntry, repository: Repository, tag: Tag): Promise<AcceptedTag | undefined> {
    try {
      const opened = await openTrustedTagRecord(entry.envelope, this.#components.trust)
      return { ...opened, envelope: entry.envelope, confirmedAt: entry.confirmedAt }
    } catch (error) {
      if (!isTrustError(error)) throw error
      this.#components.onRefused({ reason: reasonOf(error), from: 'store', repository, tag })
      return undefined
    }
  }

  /** Who asked another seed for a change is not known here, only that it signed it. */
  private historyOf({ record, signer }: AcceptedTag, known: AcceptedTag | undefined): { history?: TagHistoryEntry } {
    const [digest, previous] = [meaningOf(record), known && meaningOf(known.record)]
    if (digest === previous || !this.#components.keepsHistory(record.repository)) return {}
    // By the clock of this seed: whoever signs can write any date.
    return { history: { ...changeOf(record, signer, previous), at: this.#components.now() } }
  }
}

/** What a change of a tag's meaning looks like in its history. */
export function changeOf(
  record: TagRecord,
  signer: string,
  previous: TagHistoryEntry['previous'],
  by: { actor?: string; node?: string } = {}
): TagHistoryEntry {
  const digest = meaningOf(record)
  return {
    sequence: record.sequence,
    at: record.issuedAt,
    ...(digest && { digest }),
    ...(previous && { previous }),
    ...by,
    signer
  }
}

/** The digest that a tag means by a record; undefined when it was deleted. */
export function meaningOf(record: TagRecord): TagEntry['digest'] {
  return isTombstone(record) ? undefined : record.digest
}

function entryOf(record: TagRecord, envelope: Uint8Array, confirmedAt: number): TagEntry {
  const digest = meaningOf(record)
  return { sequence: record.sequence, envelope, confirmedAt, ...(digest && { digest }) }
}

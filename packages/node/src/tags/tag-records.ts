import type { TagEntry, Tags } from '@layermesh/content'
import type { Repository, Tag } from '@layermesh/oci'
import {
  acceptance,
  isTombstone,
  isTrustError,
  openTrustedTagRecord,
  type TagRecord,
  type TrustPolicy
} from '@layermesh/trust'

/** A tag record that passed: signed by who may, for the tag that it was asked for, and never older than one seen before. */
export interface AcceptedTag {
  readonly record: TagRecord
  readonly signer: string
  readonly envelope: Uint8Array
  /** When an authority last said that it is the newest, in ms since 1970. */
  readonly confirmedAt: number
}

export interface TagRecordsComponents {
  readonly tags: Tags
  readonly trust: TrustPolicy
  /** Told of each record that was refused. */
  onRefused(refusal: { reason: string; from: string; repository?: Repository; tag?: Tag }): void
  /** Milliseconds since 1970. */
  now(): number
}

/** The signed records that this node keeps: the one door through which any of them comes in. */
export class TagRecords {
  readonly #components: TagRecordsComponents

  constructor(components: TagRecordsComponents) {
    this.#components = components
  }

  /** The newest record that is here, tombstones too. A signer who is no longer trusted counts no more. */
  async get(repository: Repository, tag: Tag): Promise<AcceptedTag | undefined> {
    const entry = await this.#components.tags.get(repository, tag)
    if (!entry) return undefined
    try {
      const opened = await openTrustedTagRecord(entry.envelope, this.#components.trust)
      return { ...opened, envelope: entry.envelope, confirmedAt: entry.confirmedAt }
    } catch (error) {
      if (!isTrustError(error)) throw error
      this.#components.onRefused({ reason: error.code, from: 'store', repository, tag })
      return undefined
    }
  }

  /**
   * Takes a record from a peer if it is valid and not older than what is here.
   *
   * @param from the peer that sent it
   * @param word `authority`: an authority sent it as its newest; `hearsay`: somebody who may be behind sent it;
   *   `signer`: the newest if the one who signed it sent it, else hearsay
   * @param wanted the tag that was asked for; a record for another one is refused
   * @returns what is here for that tag afterwards; undefined when the record was refused
   */
  async take(
    envelope: Uint8Array,
    from: string,
    word: 'authority' | 'signer' | 'hearsay',
    wanted?: { repository: Repository; tag: Tag }
  ): Promise<AcceptedTag | undefined> {
    const { tags, trust, now, onRefused } = this.#components
    const opened = await openTrustedTagRecord(envelope, trust).catch((error: unknown) => {
      onRefused({ reason: isTrustError(error) ? error.code : 'RECORD_MALFORMED', from, ...wanted })
      return undefined
    })
    if (!opened) return undefined
    const { record, signer } = opened
    const { repository, tag } = record
    if (wanted && (wanted.repository !== repository || wanted.tag !== tag)) {
      onRefused({ reason: 'WRONG_TAG', from, ...wanted })
      return undefined
    }
    const known = await tags.get(repository, tag)
    const verdict = acceptance(known, { record, envelope }, now())
    if (verdict !== 'newer' && verdict !== 'same') {
      onRefused({ reason: verdict.toUpperCase(), from, repository, tag })
      return undefined
    }
    const confirmed = word === 'authority' || (word === 'signer' && from === signer)
    const confirmedAt = Math.max(
      confirmed ? now() : record.issuedAt,
      verdict === 'same' ? (known?.confirmedAt ?? 0) : 0
    )
    const kept = (verdict === 'same' && !confirmed) || (await this.keep(record, envelope, confirmedAt))
    // Another one came in meanwhile that is newer.
    return kept ? { record, signer, envelope, confirmedAt } : await this.get(repository, tag)
  }

  /** Keeps a record that this node signed or has checked. @returns false when a newer one is here */
  async keep(record: TagRecord, envelope: Uint8Array, confirmedAt: number): Promise<boolean> {
    const entry: TagEntry = {
      sequence: record.sequence,
      envelope,
      confirmedAt,
      ...(isTombstone(record) ? {} : { digest: record.digest })
    }
    return (await this.#components.tags.put(record.repository, record.tag, entry)) === 'stored'
  }
}

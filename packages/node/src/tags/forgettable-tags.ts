import type { TagEntry } from '@layermesh/content'
import type { Repository, Tag } from '@layermesh/oci'
import { isTrustError, type OpenedTagRecord, openTagRecord, type TrustPolicy } from '@layermesh/trust'
import type { TagAuthority } from './tag-authority.ts'
import { MAX_PLAUSIBLE_SEQUENCE } from './tag-signer.ts'

export interface ForgettableTagsComponents {
  readonly trust: Pick<TrustPolicy, 'maySign'>
  /** Undefined on a node that is no seed. */
  readonly authority: Pick<TagAuthority, 'isAuthority' | 'isMirrored'> | undefined
  /** Milliseconds since 1970. */
  now(): number
}

/** Far more than clocks differ by. */
const REMEMBERED_AFTER_EXPIRY_MS = 24 * 60 * 60 * 1000

/**
 * Says which records of tags may be forgotten, tombstones too (RECORDS.md, Tag record): a record is kept past its expiry
 * so that none which it outdid is taken for news, and those have expired too by then. A seed keeps what its own tags mean,
 * and goes on after a forgotten one from the highest sequence that was forgotten in the repository.
 */
export class ForgettableTags {
  readonly #components: ForgettableTagsComponents

  constructor(components: ForgettableTagsComponents) {
    this.#components = components
  }

  async mayForget({ repository, digest, envelope }: TagEntry & { repository: Repository; tag: Tag }): Promise<boolean> {
    const { authority, trust, now } = this.#components
    const signs = authority?.isAuthority(repository) ?? false
    if (signs && !authority?.isMirrored(repository) && digest !== undefined) return false
    const opened = await open(envelope)
    if (opened === undefined || now() < opened.record.expiresAt + REMEMBERED_AFTER_EXPIRY_MS) return false
    // Its sequence would become that of the whole repository, whoever said it.
    return !signs || (trust.maySign(opened.signer, repository) && opened.record.sequence < MAX_PLAUSIBLE_SEQUENCE)
  }
}

async function open(envelope: Uint8Array): Promise<OpenedTagRecord | undefined> {
  try {
    return await openTagRecord(envelope)
  } catch (error) {
    if (isTrustError(error)) return undefined
    throw error
  }
}

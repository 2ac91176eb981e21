import type { Repository, Tag } from '@layermesh/oci'
import { isTrustError } from '@layermesh/trust'
import { LRUCache } from 'lru-cache'

/** Why a tag record was refused, as the metric names it. */
export const REFUSAL_REASONS = [
  'record_malformed',
  'signature_invalid',
  'signer_not_trusted',
  'wrong_tag',
  'rollback',
  'conflict',
  'expired',
  'from_the_future'
] as const
export type RefusalReason = (typeof REFUSAL_REASONS)[number]

/** A record that was refused. */
export interface RefusedRecord {
  readonly reason: RefusalReason
  /** The peer that sent it, `dht`, or `store` for one that was kept while it still counted. */
  readonly from: string
  readonly repository?: Repository
  readonly tag?: Tag
}

/** What the key of this node signed, and not this node. */
export interface ForeignUse {
  /** The peer that sent it, or `dht`. */
  readonly from: string
  readonly repository: Repository
  readonly tag: Tag
  readonly sequence: number
}

export interface RefusalsComponents {
  count(reason: RefusalReason): void
  readonly log: Record<'warn' | 'error', (fields: object, message: string) => void>
  /** In ms, of a clock that never goes back. */
  now(): number
}

const LOG_EVERY_MS = 10 * 60_000
const SENDERS_REMEMBERED = 1_024

/** The reason that a failure to open a record stands for. */
export function reasonOf(error: unknown): RefusalReason {
  if (isTrustError(error, 'SIGNATURE_INVALID')) return 'signature_invalid'
  if (isTrustError(error, 'SIGNER_NOT_TRUSTED')) return 'signer_not_trusted'
  return 'record_malformed'
}

/** Counts all refused records, and logs one in ten minutes of each sender and reason: a flood must not flood the log. */
export class Refusals {
  readonly #components: RefusalsComponents
  readonly #logged = new LRUCache<string, { at: number; since: number }>({ max: SENDERS_REMEMBERED })

  constructor(components: RefusalsComponents) {
    this.#components = components
  }

  refused(refusal: RefusedRecord): void {
    this.#components.count(refusal.reason)
    this.log('warn', `${refusal.reason} ${refusal.from}`, refusal, 'refused a tag record')
  }

  /** A record that this node's key signed, and not this node. */
  foreignUse(use: ForeignUse): void {
    const message =
      'a tag record came in that the key of this node signed, and not this node: the key is used elsewhere, or the data directory was set back'
    this.log('error', 'foreign use', use, message)
  }

  private log(level: 'warn' | 'error', key: string, fields: object, message: string): void {
    const { log, now } = this.#components
    const before = this.#logged.get(key)
    if (before && now() - before.at < LOG_EVERY_MS) {
      before.since++
      return
    }
    this.#logged.set(key, { at: now(), since: 0 })
    log[level]({ ...fields, ...(before?.since && { moreBefore: before.since }) }, message)
  }
}

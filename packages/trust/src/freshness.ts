import type { TagRecord } from './tag-record.ts'

/** How old a tag's meaning may be. All in ms. */
export interface FreshnessPolicy {
  /** Since an authority confirmed it, while an authority can be asked. @default 10 s */
  readonly maxAgeMs: number
  /** Since an authority confirmed it, while none answers. @default 24 h */
  readonly maxStaleMs: number
  /** By how much the clocks of two nodes may differ. @default 60 s */
  readonly clockSkewMs: number
}

export const DEFAULT_FRESHNESS: FreshnessPolicy = Object.freeze({
  maxAgeMs: 10_000,
  maxStaleMs: 24 * 60 * 60 * 1000,
  clockSkewMs: 60_000
})

/** `fresh` may be answered at once, `stale-but-allowed` with a warning, the others not at all. */
export type Freshness = 'fresh' | 'stale-but-allowed' | 'too-old' | 'expired'

/** What {@link judgeTag} looks at. Times are in ms since 1970. */
export interface TagEvidence {
  readonly record: Pick<TagRecord, 'issuedAt' | 'expiresAt'>
  readonly now: number
  /** When an authority last said that this record is the newest, by whoever's clock. */
  readonly confirmedAt: number
  /** Whether an authority answered this time, so that nothing has to be taken on old word. */
  readonly authorityAnswered: boolean
  readonly policy: FreshnessPolicy
}

/**
 * Judges whether a tag's meaning may still be given to a client. The age counts from the last confirmation; signing was
 * one. A time in the future beyond what clocks may differ by confirms nothing.
 */
export function judgeTag({ record, now, confirmedAt, authorityAnswered, policy }: TagEvidence): Freshness {
  if (now >= record.expiresAt) return 'expired'
  const believable = [confirmedAt, record.issuedAt].filter((time) => time <= now + policy.clockSkewMs)
  const age = now - Math.max(...believable)
  if (age <= policy.maxAgeMs) return 'fresh'
  if (!authorityAnswered && age <= policy.maxStaleMs) return 'stale-but-allowed'
  return 'too-old'
}

/** What is to be done with a record that came in; only `newer` is kept. */
export type Acceptance =
  | 'newer'
  /** The very bytes that are here already. */
  | 'same'
  /** It was newest once: a sender that is behind, or one that replays. */
  | 'rollback'
  /** Another statement of the same signer under the same sequence: it broke the rules. */
  | 'conflict'
  /** Two signers made a statement under the same sequence, and the one that is here counts. */
  | 'outranked'
  | 'expired'
  | 'from-the-future'

/** A record with the signed bytes that it came in. */
export interface IncomingTag {
  readonly record: Pick<TagRecord, 'sequence' | 'issuedAt' | 'expiresAt'>
  readonly envelope: Uint8Array
  /** Peer id of who signed it. */
  readonly signer: string
}

/**
 * Compares a record with the newest that was ever accepted for its tag, tombstones and expired ones included. It says
 * nothing of the signer, who must have been judged before. Of the statements that two signers made at the same time,
 * under the same sequence, the one whose bytes sort higher counts, so that all nodes come to believe the same.
 *
 * @param known the newest so far, of a signer who is still trusted; undefined when there is none
 * @param now in ms since 1970
 */
export function acceptance(
  known: { readonly sequence: number; readonly envelope: Uint8Array; readonly signer: string } | undefined,
  incoming: IncomingTag,
  now: number,
  clockSkewMs = DEFAULT_FRESHNESS.clockSkewMs
): Acceptance {
  const { record, envelope, signer } = incoming
  if (known !== undefined && record.sequence < known.sequence) return 'rollback'
  if (known !== undefined && record.sequence === known.sequence) {
    const order = Buffer.compare(envelope, known.envelope)
    if (order === 0) return 'same'
    if (signer === known.signer) return 'conflict'
    if (order < 0) return 'outranked'
  }
  if (now >= record.expiresAt) return 'expired'
  if (record.issuedAt > now + clockSkewMs) return 'from-the-future'
  return 'newer'
}

import { OciError, type Repository } from '@layermesh/oci'
import { type FreshnessPolicy, isTombstone, judgeTag, type TagMapping } from '@layermesh/trust'
import type { AcceptedTag } from './tag-records.ts'

/** Where the meaning of a tag was learnt. */
export type ResolutionSource = 'local' | 'seed' | 'peer' | 'dht' | 'upstream'
export type ResolutionResult = 'ok' | 'stale' | 'refused' | 'unknown'

export interface TagResolution {
  readonly record: Pick<TagMapping, 'digest' | 'mediaType' | 'size'>
  /** Why the answer may not be the newest; undefined when it is. */
  readonly warning?: string
}

export interface TagJudgeComponents {
  /** The registry that a repository is mirrored from; undefined when it is the mesh's own. */
  hostOf(repository: Repository): string | undefined
  freshnessOf(repository: Repository): FreshnessPolicy
  onResolved(source: ResolutionSource, result: ResolutionResult): void
  /** Milliseconds since 1970. */
  now(): number
}

const BELIEVABLE: ReadonlySet<string> = new Set(['fresh', 'stale-but-allowed'])

/** Judges by the policy what was found of a tag, and makes the answer of it. */
export class TagJudge {
  readonly #components: TagJudgeComponents

  constructor(components: TagJudgeComponents) {
    this.#components = components
  }

  /** Whether nobody needs to be asked. */
  isFresh(found: AcceptedTag): boolean {
    return this.#judge(found, true) === 'fresh'
  }

  /** Whether it may be answered when no seed does, with a warning. */
  isAllowedStale(found: AcceptedTag): boolean {
    return this.#judge(found, false) === 'stale-but-allowed'
  }

  /** Whether it may be answered when no seed does, with a warning or without. */
  isBelievable(found: AcceptedTag): boolean {
    return BELIEVABLE.has(this.#judge(found, false))
  }

  /**
   * @param authorityAnswered whether a seed said this just now; else the policy decides how old it may be
   * @throws {OciError} UNAVAILABLE when it is too old to be believed
   */
  answer(
    found: AcceptedTag | undefined,
    source: ResolutionSource,
    authorityAnswered: boolean,
    repository: Repository
  ): TagResolution | undefined {
    const { onResolved } = this.#components
    if (!found) {
      onResolved(source, 'unknown')
      return undefined
    }
    const verdict = this.#judge(found, false)
    if (verdict === 'expired' || verdict === 'too-old') {
      onResolved(source, 'refused')
      throw new OciError(
        'UNAVAILABLE',
        `no seed answers, and what is known of the tag is too old to be believed (${verdict})`,
        { detail: { repository } }
      )
    }
    if (isTombstone(found.record)) {
      onResolved(source, 'unknown')
      return undefined
    }
    const stale = verdict !== 'fresh' && !(authorityAnswered && this.#isConfirmed(found))
    onResolved(source, stale ? 'stale' : 'ok')
    return stale
      ? { record: found.record, warning: this.warningOf(repository, found.confirmedAt) }
      : { record: found.record }
  }

  /** What a client is told with an answer that may not be the newest. */
  warningOf(repository: Repository, confirmedAt: number): string {
    const { hostOf, now } = this.#components
    const host = hostOf(repository)
    const who = host === undefined ? 'no seed answers' : `${host} was not asked, or does not answer`
    return `${who}; this tag was last confirmed ${Math.round((now() - confirmedAt) / 1000)} s ago`
  }

  #judge({ record, confirmedAt }: AcceptedTag, authorityAnswered: boolean) {
    const { now, freshnessOf } = this.#components
    return judgeTag({ record, now: now(), confirmedAt, authorityAnswered, policy: freshnessOf(record.repository) })
  }

  /** A seed that answers for a mirrored tag may do so without its registry; then it tells how old its word is. */
  #isConfirmed({ record: { repository }, confirmedAt }: AcceptedTag): boolean {
    const { hostOf, freshnessOf, now } = this.#components
    if (hostOf(repository) === undefined) return true
    const { maxAgeMs, clockSkewMs } = freshnessOf(repository)
    return now() - confirmedAt <= maxAgeMs + clockSkewMs
  }
}

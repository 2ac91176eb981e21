import { type Repository, registryHostOf, type Tag } from '@layermesh/oci'
import { RepositoryPattern } from '@layermesh/trust'
import { tagPattern } from '../tags/tag-pattern.ts'

/** What is kept of the repositories and tags that fit; all patterns were checked. */
export interface RetentionRule {
  readonly repositories: string
  readonly tags: string
  /** Of the tags that fit, so many that were changed last. */
  readonly keepLast?: number
  /** Tags that were changed within so long, in ms. */
  readonly keepYoungerThanMs?: number
  /** Manifests that no tag means and nothing needs go once they are older, in ms. */
  readonly untaggedAfterMs?: number
}

/** A tag as far as rules ask about it. */
export interface DatedTag {
  readonly tag: Tag
  /** When it came to mean what it means, in ms since 1970. */
  readonly changedAt: number
}

interface CompiledRule {
  readonly rule: RetentionRule
  readonly repositories: RepositoryPattern
  readonly tags: RegExp
}

/**
 * Which tags stay. Of several rules that fit a tag, each that keeps it outdoes those that do not; what no rule fits
 * stays.
 */
export class RetentionRules {
  readonly #rules: readonly CompiledRule[]

  /** @throws {TrustError} POLICY_INVALID */
  constructor(rules: readonly RetentionRule[]) {
    this.#rules = rules.map((rule) => ({
      rule,
      repositories: new RepositoryPattern(rule.repositories),
      tags: tagPattern(rule.tags)
    }))
  }

  /** Whether anything may be removed from a repository. What is mirrored is no matter of retention. */
  concern(repository: Repository): boolean {
    return registryHostOf(repository) === undefined && this.#for(repository).length > 0
  }

  /** The tags of a repository that no rule keeps, though at least one fits. @param now in ms since 1970 */
  expired<T extends DatedTag>(repository: Repository, tags: readonly T[], now: number): T[] {
    const newestFirst = tags.toSorted((one, other) => other.changedAt - one.changedAt)
    const kept = new Set<T>()
    const fitting = new Set<T>()
    for (const { rule, tags: pattern } of this.#for(repository).filter(isAboutTags)) {
      const { keepLast = 0, keepYoungerThanMs = 0 } = rule
      for (const [rank, tag] of newestFirst.filter((each) => pattern.test(each.tag)).entries()) {
        fitting.add(tag)
        if (rank < keepLast || now - tag.changedAt < keepYoungerThanMs) kept.add(tag)
      }
    }
    return tags.filter((tag) => fitting.has(tag) && !kept.has(tag))
  }

  /** The age up to which manifests stay that no tag means, in ms; undefined when they always do. The longest of the rules counts. */
  untaggedAfterMs(repository: Repository): number | undefined {
    const ages = this.#for(repository).flatMap(({ rule }) => rule.untaggedAfterMs ?? [])
    return ages.length === 0 ? undefined : Math.max(...ages)
  }

  #for(repository: Repository): CompiledRule[] {
    return this.#rules.filter(({ repositories }) => repositories.matches(repository))
  }
}

function isAboutTags({ rule }: CompiledRule): boolean {
  return rule.keepLast !== undefined || rule.keepYoungerThanMs !== undefined
}

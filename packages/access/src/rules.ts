import { type Repository, registryHostOf } from '@layermesh/oci'
import { isTrustError, RepositoryPattern } from '@layermesh/trust'
import type { Identity, RepositoryAction } from './access-types.ts'
import { AccessError } from './errors.ts'

/** Whom a rule allows what. It fits whoever is named in any of its ways. */
export interface AccessGrant {
  readonly users?: readonly string[]
  readonly groups?: readonly string[]
  /** Everybody who has proved who he is. @default false */
  readonly authenticated?: boolean
  /** Everybody. @default false */
  readonly anyone?: boolean
  readonly actions: readonly RepositoryAction[]
}

export interface AccessRule {
  /** Pattern, as in the trust policy: `**` is all of the mesh's own repositories and none that is mirrored. */
  readonly repositories: string
  readonly grant: readonly AccessGrant[]
}

/** A client as the rules see it. */
export type Subject = Pick<Identity, 'name' | 'groups'>

/**
 * Who may do what. The first rule whose pattern fits a repository counts, and what none of its grants allows is denied;
 * where no rule fits, mirrored repositories may be pulled, and nothing is allowed in the mesh's own.
 */
export class AccessRules {
  readonly #rules: readonly { readonly pattern: RepositoryPattern; readonly grant: readonly AccessGrant[] }[]
  readonly #groups: ReadonlySet<string>
  readonly #members: ReadonlyMap<string, ReadonlySet<string>>

  /**
   * @param groups the users of each group, besides those of whom an identity provider says so
   * @throws {AccessError} RULES_INVALID
   */
  constructor(rules: readonly AccessRule[], groups: Readonly<Record<string, readonly string[]>> = {}) {
    this.#rules = rules.map(({ repositories, grant }) => ({ pattern: parsePattern(repositories), grant }))
    this.#groups = new Set(rules.flatMap(({ grant }) => grant.flatMap(({ groups = [] }) => groups)))
    this.#members = new Map(Object.entries(groups).map(([group, users]) => [group, new Set(users)]))
  }

  /** Tells whether a group is named in any rule, so that it matters who is in it. */
  names(group: string): boolean {
    return this.#groups.has(group)
  }

  allows(subject: Subject, action: RepositoryAction, repository: Repository): boolean {
    const rule = this.#rules.find(({ pattern }) => pattern.matches(repository))
    if (rule === undefined) return action === 'pull' && registryHostOf(repository) !== undefined
    return rule.grant.some((grant) => grant.actions.includes(action) && this.#fits(grant, subject))
  }

  #fits({ users = [], groups = [], authenticated = false, anyone = false }: AccessGrant, subject: Subject): boolean {
    if (anyone) return true
    const { name } = subject
    if (name === undefined) return false
    return authenticated || users.includes(name) || groups.some((group) => this.#isMember(group, name, subject.groups))
  }

  #isMember(group: string, name: string, told: readonly string[]): boolean {
    return told.includes(group) || (this.#members.get(group)?.has(name) ?? false)
  }
}

/** Reads a repository pattern of a rule or of a key's scope. @throws {AccessError} RULES_INVALID */
export function parsePattern(pattern: string): RepositoryPattern {
  try {
    return new RepositoryPattern(pattern)
  } catch (cause) {
    if (!isTrustError(cause)) throw cause
    throw new AccessError('RULES_INVALID', cause.message.replace(/^trust has/, 'a rule has'), { cause })
  }
}

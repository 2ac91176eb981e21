import { type Repository, registryHostOf } from '@layermesh/oci'
import { peerIdFromString } from '@libp2p/peer-id'
import { TrustError } from './errors.ts'
import { RepositoryPattern } from './repository-pattern.ts'
import type { SeedSet } from './seed-set.ts'

/** A peer and the repositories for which it may sign. */
export interface TrustGrant {
  readonly peerId: string
  /**
   * Patterns: `*` stands for any part of one component, `**`, alone in its component, for one or more components.
   * Mirrored repositories are matched only by patterns whose first component is their registry host, spelt out.
   * @default ['**'], all of the mesh's own repositories and none that is mirrored
   */
  readonly repositories?: readonly string[] | undefined
  /** Registries, for all of whose repositories it may sign as well; asked each time. @default none */
  readonly mirrors?: (host: string) => boolean
  /** True when nobody said so: a seed set that names the peer says all there is. @default false */
  readonly byDefault?: boolean
}

interface Grant {
  readonly patterns: readonly RepositoryPattern[]
  readonly mirrors?: (host: string) => boolean
  readonly byDefault: boolean
}

const OWN_REPOSITORIES: readonly string[] = Object.freeze(['**'])

/**
 * Who may sign for which repository: as the operator configured it, and as the newest seed set says. Whom the set
 * revokes, or whose time by the set is over, may sign nothing, whoever else trusts them. It changes while the node runs:
 * ask it each time.
 */
export class TrustPolicy {
  readonly #now: () => number
  readonly #configured = new Map<string, Grant[]>()
  readonly #ofSet = new Map<string, Grant[]>()
  readonly #ends = new Map<string, number>()
  readonly #revoked = new Set<string>()

  /**
   * @param now in ms since 1970
   * @throws {TrustError} POLICY_INVALID
   */
  constructor(grants: readonly TrustGrant[], now: () => number = Date.now) {
    this.#now = now
    for (const { peerId, repositories = OWN_REPOSITORIES, mirrors, byDefault = false } of grants) {
      const signer = parseSigner(peerId)
      const patterns = repositories.map((pattern) => new RepositoryPattern(pattern))
      const grant = { patterns, byDefault, ...(mirrors === undefined ? {} : { mirrors }) }
      this.#configured.set(signer, [...(this.#configured.get(signer) ?? []), grant])
    }
  }

  /** Goes by this set from now on, in place of the one before. @param grants false takes only what it revokes and ends */
  useSeedSet({ seeds, revoked }: Pick<SeedSet, 'seeds' | 'revoked'>, grants: boolean): void {
    this.#ofSet.clear()
    this.#ends.clear()
    this.#revoked.clear()
    for (const peerId of revoked) this.#revoked.add(peerId)
    for (const { peerId, repositories, notAfter } of seeds) {
      if (notAfter !== undefined) this.#ends.set(peerId, notAfter)
      if (!grants) continue
      const patterns = repositories.map((pattern) => new RepositoryPattern(pattern))
      this.#ofSet.set(peerId, [{ patterns, byDefault: false }])
    }
  }

  /** Tells whether a record of this repository counts when this peer signed it. */
  maySign(peerId: string, repository: Repository): boolean {
    const host = registryHostOf(repository)
    return this.grantsOf(peerId).some(
      ({ patterns, mirrors }) =>
        patterns.some((pattern) => pattern.matches(repository)) || (host !== undefined && mirrors?.(host))
    )
  }

  /** Whether anybody may sign for this repository by another pattern than `**`: it is named, not only covered. */
  isNamed(repository: Repository): boolean {
    return this.signers().some((peerId) =>
      this.grantsOf(peerId).some(({ patterns }) =>
        patterns.some((pattern) => !pattern.isEverything && pattern.matches(repository))
      )
    )
  }

  /** Whether the peer may sign for any repository. */
  isSigner(peerId: string): boolean {
    return this.grantsOf(peerId).some(({ patterns }) => patterns.length > 0)
  }

  /** The peer ids that may sign anything at all. */
  signers(): string[] {
    const named = new Set([...this.#configured.keys(), ...this.#ofSet.keys()])
    return [...named].filter((peerId) => this.isSigner(peerId))
  }

  /** The peer ids that may sign for this repository: whom to ask about its tags. */
  signersFor(repository: Repository): string[] {
    return this.signers().filter((peerId) => this.maySign(peerId, repository))
  }

  /** Whether the seed set has taken this peer's word away. */
  isRevoked(peerId: string): boolean {
    return this.#revoked.has(peerId)
  }

  /** When the word of this peer ends, or ended, in ms since 1970; undefined when it has no end. */
  endOf(peerId: string): number | undefined {
    return this.#ends.get(peerId)
  }

  /** Whether the word of this peer still counts but has an end: others should sign anew what it signed. */
  isRetiring(peerId: string): boolean {
    return this.#ends.has(peerId) && this.grantsOf(peerId).length > 0
  }

  private grantsOf(peerId: string): readonly Grant[] {
    if (this.#revoked.has(peerId) || this.#now() >= (this.#ends.get(peerId) ?? Number.POSITIVE_INFINITY)) return []
    const ofSet = this.#ofSet.get(peerId) ?? []
    const configured = this.#configured.get(peerId) ?? []
    return [...ofSet, ...configured.filter(({ byDefault }) => !byDefault || ofSet.length === 0)]
  }
}

/** Ed25519 peer ids only, in their one usual spelling: no other key signs records. */
function parseSigner(text: string): string {
  try {
    const peerId = peerIdFromString(text)
    if (peerId.type === 'Ed25519') return peerId.toString()
  } catch (cause) {
    throw new TrustError('POLICY_INVALID', `trust names ${JSON.stringify(text.slice(0, 100))}, which is no peer id`, {
      cause
    })
  }
  throw new TrustError(
    'POLICY_INVALID',
    `trust names ${text.slice(0, 100)}, which is not the peer id of an Ed25519 key`
  )
}

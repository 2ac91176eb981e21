import { openSeedSet, type SeedSet, type TrustPolicy } from '@layermesh/trust'
import type { NoticeKind } from '../notices/notice-board.ts'

export const SEED_SET_KIND = 'seed-set'

export interface SeedSetsComponents {
  /** Peer id of the offline root key. */
  readonly root: string
  /** Goes by the set. */
  readonly trust: Pick<TrustPolicy, 'useSeedSet'>
}

/** The seed set that counts here. */
export interface CurrentSeedSet {
  readonly set: SeedSet
  readonly envelope: Uint8Array
  /** Whether it makes seeds trusted: it does unless it came here only after it had expired. */
  readonly grants: boolean
}

/**
 * The newest set of seeds that the offline root key signed, as a notice: it makes the trust policy go by it. A set that
 * expires while a node has it goes on to count, for a mesh must not stop because nobody signed a new one in time. One
 * that comes to a node only after it expired makes nobody trusted, since whoever shows it may hide a newer one; what it
 * revokes is revoked.
 */
export class SeedSets {
  /** How a notice board reads seed sets. */
  readonly kind: NoticeKind
  readonly #components: SeedSetsComponents
  readonly #listeners = new Set<(current: CurrentSeedSet) => void>()
  #current: CurrentSeedSet | undefined

  constructor(components: SeedSetsComponents) {
    this.#components = components
    const isRoot = (signer: string) => signer === components.root
    this.kind = {
      kind: SEED_SET_KIND,
      maySign: isRoot,
      read: async (envelope, keptAt) => {
        const { set, root } = await openSeedSet(envelope, isRoot)
        const { sequence, issuedAt } = set
        const current = { set, envelope, grants: keptAt < set.expiresAt }
        return { signer: root, sequence, issuedAt, apply: () => this.#apply(current) }
      }
    }
  }

  get root(): string {
    return this.#components.root
  }

  /** Undefined before any came. */
  get current(): CurrentSeedSet | undefined {
    return this.#current
  }

  /** Calls `listener` after the policy goes by another set. Returns a function that ends it. */
  onChange(listener: (current: CurrentSeedSet) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #apply(current: CurrentSeedSet): void {
    this.#current = current
    this.#components.trust.useSeedSet(current.set, current.grants)
    for (const listener of this.#listeners) listener(current)
  }
}

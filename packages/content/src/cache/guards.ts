import type { Digest } from '@layermesh/oci'
import type { Hold } from '../interfaces.ts'

export interface GuardsOptions {
  /** How long a blob stays after it was last used, in ms. */
  readonly leaseMs: number
  /** Blobs whose last use is remembered one by one. */
  readonly maxLeases: number
}

/** When a blob was used last, and whether that was noted elsewhere already. */
interface Lease {
  at: number
  noted: boolean
}

/**
 * Keeps what is needed from being removed, without a lock on the way of those who need it. Who needs a blob says so
 * first and looks whether it is here then; who removes one claims it, which succeeds only while nobody needs it. As both
 * steps are made in one turn of the event loop, there are two orders: either the claim fails, or whoever comes after it
 * waits until the removal is over and finds the blob gone.
 *
 * A blob is needed while somebody holds it, and for a while after each use (its lease). When more leases run than are
 * remembered, nothing at all can be claimed until the forgotten ones are over.
 */
export class Guards {
  readonly #now: () => number
  readonly #options: GuardsOptions
  readonly #holds = new Map<Digest, number>()
  readonly #leases = new Map<Digest, Lease>()
  readonly #claims = new Map<Digest, Promise<void>>()
  #nothingBefore = Number.NEGATIVE_INFINITY

  /** @param now in ms since 1970 */
  constructor(now: () => number, options: GuardsOptions) {
    this.#now = now
    this.#options = options
  }

  /** Notes a use. One that is being removed goes all the same. */
  touch(digest: Digest): void {
    const lease = this.#leases.get(digest)
    if (lease === undefined) return this.#lease(digest)
    lease.at = this.#now()
    lease.noted = false
  }

  /** Notes a use. Undefined when the blob stays for the length of a lease, if it is here; else resolves once it is gone. */
  renew(digest: Digest): Promise<void> | undefined {
    this.touch(digest)
    return this.#claims.get(digest)
  }

  /** Keeps these until the hold is released, if they are here when it resolves. */
  async hold(digests: readonly Digest[]): Promise<Hold> {
    const held = [...new Set(digests)]
    for (const digest of held) {
      this.#holds.set(digest, (this.#holds.get(digest) ?? 0) + 1)
      this.touch(digest)
    }
    const hold = releasedOnce(() => this.#letGo(held))
    for (const digest of held) await this.#claims.get(digest)
    return hold
  }

  /** The right to remove a blob, until the result is called; undefined while somebody needs it, or removes it already. */
  claim(digest: Digest): (() => void) | undefined {
    if (this.isNeeded(digest) || this.#claims.has(digest)) return undefined
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#claims.set(digest, promise)
    return () => {
      this.#claims.delete(digest)
      resolve()
    }
  }

  isNeeded(digest: Digest): boolean {
    const at = this.#leases.get(digest)?.at
    const now = this.#now()
    return (
      this.#holds.has(digest) || now < this.#nothingBefore || (at !== undefined && now < at + this.#options.leaseMs)
    )
  }

  /** When a blob was used last, if that was not long ago. */
  usedAt(digest: Digest): number | undefined {
    return this.#leases.get(digest)?.at
  }

  /**
   * The uses that were not told of yet. Leases that are over and were told of before are forgotten; those that are told of
   * now only the next time, when they have been written down.
   */
  takeUses(): Map<Digest, number> {
    this.#forgetEnded()
    const uses = new Map<Digest, number>()
    for (const [digest, lease] of this.#leases) {
      if (!lease.noted) uses.set(digest, lease.at)
      lease.noted = true
    }
    return uses
  }

  #lease(digest: Digest): void {
    if (this.#leases.size >= this.#options.maxLeases) {
      this.#forgetEnded()
      for (const [oldest, { at }] of this.#leases) {
        if (this.#leases.size < this.#options.maxLeases) break
        this.#leases.delete(oldest)
        this.#nothingBefore = Math.max(this.#nothingBefore, at + this.#options.leaseMs)
      }
    }
    this.#leases.set(digest, { at: this.#now(), noted: false })
  }

  #forgetEnded(): void {
    const before = this.#now() - this.#options.leaseMs
    for (const [digest, { at, noted }] of this.#leases) if (noted && at <= before) this.#leases.delete(digest)
  }

  #letGo(digests: readonly Digest[]): void {
    for (const digest of digests) {
      const others = (this.#holds.get(digest) ?? 1) - 1
      if (others > 0) this.#holds.set(digest, others)
      else this.#holds.delete(digest)
      this.touch(digest)
    }
  }
}

function releasedOnce(release: () => void): Hold {
  let held = true
  return {
    release: () => {
      if (held) release()
      held = false
    }
  }
}

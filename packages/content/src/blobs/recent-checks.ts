import type { Digest } from '@layermesh/oci'
import type { PieceChecks } from '../hashing/piece-checks.ts'

/** Remembers which pieces of whole blobs were verified lately, also while the blobs are not open. */
export class RecentChecks {
  readonly #maxBytes: number
  // The least recently used first.
  readonly #checks = new Map<Digest, PieceChecks>()
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get(digest: Digest): PieceChecks | undefined {
    return this.#checks.get(digest)
  }

  /** Remembers these, and forgets the oldest that there is no room for. */
  set(digest: Digest, checks: PieceChecks): void {
    this.delete(digest)
    this.#checks.set(digest, checks)
    this.#bytes += checks.byteLength
    for (const oldest of this.#checks.keys()) {
      if (this.#bytes <= this.#maxBytes) return
      this.delete(oldest)
    }
  }

  delete(digest: Digest): void {
    this.#bytes -= this.#checks.get(digest)?.byteLength ?? 0
    this.#checks.delete(digest)
  }
}

import type { Digest, Repository } from '@layermesh/oci'
import type { BlobCatalog } from '../blobs/blob-catalog.ts'
import type { PartialStore } from '../downloads/partial-store.ts'
import type { Removal, RemovalReason } from '../interfaces.ts'
import type { StoredPins } from '../metadata/pins.ts'
import type { Tables } from '../metadata/tables.ts'
import type { Guards } from './guards.ts'
import { Lowest } from './lowest.ts'
import type { Uses } from './uses.ts'

export interface EvictorComponents {
  readonly tables: Tables
  readonly catalog: BlobCatalog
  readonly partials: PartialStore
  readonly guards: Guards
  readonly pins: Pick<StoredPins, 'covers'>
  readonly uses: Uses
  readonly now: () => number
  /** Whether what is in this repository must stay here, since others count on this node for it. */
  readonly retains: (repository: Repository) => boolean
  readonly onRemoved: (removal: Removal) => void
}

export interface EvictorOptions {
  /** So long after a client brought a blob it stays, in ms, unless a manifest that names it was taken by a seed. */
  readonly garbageGraceMs: number
}

interface Candidate {
  readonly digest: Digest
  readonly usedAt: number
}

const CANDIDATES_AT_ONCE = 1024

/**
 * Makes room: removes whole blobs and unfinished downloads, those first that were not used for longest. Bytes go, links
 * stay, so that what was removed is fetched again when it is asked for. Never removed is what somebody needs (see
 * {@link Guards}), what a pin covers, what is in a repository that this node retains, and what a client brought here and
 * no seed has taken yet.
 */
export class Evictor {
  readonly #components: EvictorComponents
  readonly #options: EvictorOptions

  constructor(components: EvictorComponents, options: EvictorOptions) {
    this.#components = components
    this.#options = options
  }

  /** Removes until `enough` says so or nothing more can be spared. @returns how many bytes came free */
  async run(reason: RemovalReason, enough: () => boolean, onFreed: (bytes: number) => void): Promise<number> {
    let freed = 0
    let after: Candidate | undefined
    while (!enough()) {
      const { items, leftOut } = await this.#oldest(after)
      for (const { digest } of items) {
        if (enough()) return freed
        const bytes = await this.#remove(digest, reason)
        freed += bytes
        if (bytes > 0) onFreed(bytes)
      }
      if (!leftOut) break
      after = items.at(-1)
    }
    return freed
  }

  /** Those that were not used for longest, of all that come after `after`. */
  async #oldest(after: Candidate | undefined) {
    const { uses, partials, guards } = this.#components
    const oldest = new Lowest(byUse, CANDIDATES_AT_ONCE)
    const consider = (candidate: Candidate) => {
      if (after !== undefined && byUse(candidate, after) <= 0) return
      if (!guards.isNeeded(candidate.digest)) oldest.add(candidate)
    }
    for await (const { digest, usedAt } of uses.list()) consider({ digest, usedAt })
    for (const [digest] of partials.dormant()) consider({ digest, usedAt: await uses.of(digest) })
    return oldest.take()
  }

  async #remove(digest: Digest, reason: RemovalReason): Promise<number> {
    const { catalog, onRemoved } = this.#components
    const removed = await catalog.removeUnneeded(digest, () => this.#isSpare(digest))
    if (removed === undefined) return 0
    onRemoved({ digest, reason, ...removed })
    return removed.bytes
  }

  async #isSpare(digest: Digest): Promise<boolean> {
    const { tables, pins, retains, uses, now } = this.#components
    if (await pins.covers(digest)) return false
    const pushedAt = await tables.pushes.get(digest)
    if (pushedAt !== undefined) {
      const usedAt = Math.max(pushedAt, await uses.of(digest))
      if (now() < usedAt + this.#options.garbageGraceMs) return false
    }
    for await (const [[repository]] of tables.linkedFrom.range([digest])) {
      if (retains(repository as Repository)) return false
    }
    return true
  }
}

function byUse(a: Candidate, b: Candidate): number {
  return a.usedAt - b.usedAt || (a.digest < b.digest ? -1 : Number(a.digest > b.digest))
}

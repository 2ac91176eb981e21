import type { TagEntry, TagHistoryEntry, TagPutOptions, Tags } from '@layermesh/content'
import type { Repository, Tag } from '@layermesh/oci'

/** Tag entries in memory, with the promises of the store's own. */
export class MemoryTags implements Tags {
  readonly #entries = new Map<string, TagEntry & { repository: Repository; tag: Tag }>()
  readonly #forgotten = new Map<Repository, number>()
  readonly #history = new Map<string, TagHistoryEntry[]>()

  async get(repository: Repository, tag: Tag): Promise<TagEntry | undefined> {
    return this.#entries.get(`${repository}:${tag}`)
  }

  async put(
    repository: Repository,
    tag: Tag,
    entry: TagEntry,
    { history, replaces }: TagPutOptions = {}
  ): Promise<'stored' | 'older' | 'conflict'> {
    const key = `${repository}:${tag}`
    const known = this.#entries.get(key)
    const same = known && Buffer.compare(known.envelope, entry.envelope) === 0
    const givesWay = known && replaces && Buffer.compare(known.envelope, replaces) === 0
    if (known && !same && !givesWay && entry.sequence <= known.sequence)
      return entry.sequence < known.sequence ? 'older' : 'conflict'
    this.#entries.set(key, { ...entry, repository, tag })
    if (history && !same) this.#history.set(key, [history, ...(this.#history.get(key) ?? [])])
    return 'stored'
  }

  async history(
    repository: Repository,
    tag: Tag,
    { before = Number.POSITIVE_INFINITY, limit }: { before?: number; limit: number }
  ): Promise<TagHistoryEntry[]> {
    const entries = this.#history.get(`${repository}:${tag}`) ?? []
    return entries.filter(({ sequence }) => sequence < before).slice(0, limit)
  }

  /** As if a garbage collection had forgotten it. */
  forget(repository: Repository, tag: Tag): void {
    const key = `${repository}:${tag}`
    this.#forgotten.set(
      repository,
      Math.max(this.#entries.get(key)?.sequence ?? 0, this.#forgotten.get(repository) ?? 0)
    )
    this.#entries.delete(key)
    this.#history.delete(key)
  }

  async forgotten(repository: Repository): Promise<number> {
    return this.#forgotten.get(repository) ?? 0
  }

  async list(repository: Repository): Promise<Tag[]> {
    return [...this.#entries.values()]
      .filter((entry) => entry.repository === repository && entry.digest)
      .map(({ tag }) => tag)
  }

  async pointingAt(repository: Repository, digest: string): Promise<Tag[]> {
    return [...this.#entries.values()]
      .filter((entry) => entry.repository === repository && entry.digest === digest)
      .map(({ tag }) => tag)
  }

  async *of(repository: Repository): AsyncIterable<TagEntry & { tag: Tag }> {
    for (const entry of this.#entries.values()) if (entry.repository === repository) yield entry
  }

  async *all(): AsyncIterable<TagEntry & { repository: Repository; tag: Tag }> {
    yield* this.#entries.values()
  }
}

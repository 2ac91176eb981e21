import type { TagEntry, Tags } from '@layermesh/content'
import type { Repository, Tag } from '@layermesh/oci'

/** Tag entries in memory, with the promises of the store's own. */
export class MemoryTags implements Tags {
  readonly #entries = new Map<string, TagEntry & { repository: Repository; tag: Tag }>()

  async get(repository: Repository, tag: Tag): Promise<TagEntry | undefined> {
    return this.#entries.get(`${repository}:${tag}`)
  }

  async put(repository: Repository, tag: Tag, entry: TagEntry): Promise<'stored' | 'older' | 'conflict'> {
    const known = this.#entries.get(`${repository}:${tag}`)
    if (known && entry.sequence < known.sequence) return 'older'
    if (known?.sequence === entry.sequence && Buffer.compare(known.envelope, entry.envelope) !== 0) return 'conflict'
    this.#entries.set(`${repository}:${tag}`, { ...entry, repository, tag })
    return 'stored'
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

  async *all(): AsyncIterable<TagEntry & { repository: Repository; tag: Tag }> {
    yield* this.#entries.values()
  }
}

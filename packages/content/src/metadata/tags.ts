import type { Digest, Repository, Tag } from '@layermesh/oci'
import { equalBytes } from '../hashing/verified-pieces.ts'
import type { PageRequest, TagEntry, TagHistoryEntry, TagPutOptions, Tags } from '../interfaces.ts'
import { KeyedLock } from '../keyed-lock.ts'
import type { Change, Metadata } from './metadata.ts'
import { sequenceKey, type Tables, type TagRow } from './tables.ts'

export interface TagsComponents {
  readonly metadata: Metadata
  readonly tables: Tables
}

export interface TagsOptions {
  /** Changes that are remembered of each tag. */
  readonly maxTagHistory: number
}

/** Tags, with an index of those that mean a digest. Changes of the same tag are made one after the other. */
export class StoredTags implements Tags {
  readonly #metadata: Metadata
  readonly #tables: Tables
  readonly #options: TagsOptions
  readonly #lock = new KeyedLock()

  constructor({ metadata, tables }: TagsComponents, options: TagsOptions) {
    this.#metadata = metadata
    this.#tables = tables
    this.#options = options
  }

  async get(repository: Repository, tag: Tag): Promise<TagEntry | undefined> {
    const row = await this.#tables.tags.get(repository, tag)
    return row === undefined ? undefined : entryOf(row)
  }

  put(
    repository: Repository,
    tag: Tag,
    entry: TagEntry,
    { history, replaces }: TagPutOptions = {}
  ): Promise<'stored' | 'older' | 'conflict'> {
    return this.#lock.run(`${repository} ${tag}`, async () => {
      const row = await this.#tables.tags.get(repository, tag)
      const here = row && entryOf(row)
      const same = here !== undefined && equalBytes(here.envelope, entry.envelope)
      const givesWay = here === undefined || (replaces !== undefined && equalBytes(here.envelope, replaces))
      if (!same && !givesWay && here.sequence > entry.sequence) return 'older'
      if (!same && !givesWay && here.sequence === entry.sequence) return 'conflict'
      if (same && here.confirmedAt >= entry.confirmedAt) return 'stored'
      const remembered = await this.#remember(repository, tag, row?.history ?? 0, same ? undefined : history)
      await this.#metadata.write([
        ...this.#replace(repository, tag, here, { ...rowOf(entry), history: remembered.count }),
        ...remembered.changes
      ])
      return 'stored'
    })
  }

  async history(
    repository: Repository,
    tag: Tag,
    { before, limit }: { before?: number; limit: number }
  ): Promise<TagHistoryEntry[]> {
    const below = before === undefined ? {} : { before: sequenceKey(before) }
    const entries: TagHistoryEntry[] = []
    for await (const [, entry] of this.#tables.tagHistory.range([repository, tag], { ...below, limit, reverse: true }))
      entries.push(entry)
    return entries
  }

  async forgotten(repository: Repository): Promise<number> {
    return (await this.#tables.forgottenTags.get(repository)) ?? 0
  }

  /** Forgets a tag and its history, if this is what is known of it still. Resolves false when it is not. */
  forget(repository: Repository, tag: Tag, entry: TagEntry): Promise<boolean> {
    return this.#lock.run(`${repository} ${tag}`, async () => {
      const { tags, tagsOf, tagHistory, forgottenTags } = this.#tables
      const row = await tags.get(repository, tag)
      const here = row && entryOf(row)
      if (here?.confirmedAt !== entry.confirmedAt || !equalBytes(here.envelope, entry.envelope)) return false
      const changes = [tags.del([repository, tag])]
      if (here.digest !== undefined) changes.push(tagsOf.del([repository, here.digest, tag]))
      for await (const [[sequence = '', signer = '']] of tagHistory.range([repository, tag]))
        changes.push(tagHistory.del([repository, tag, sequence, signer]))
      const highest = Math.max(here.sequence, await this.forgotten(repository))
      await this.#metadata.write([...changes, forgottenTags.put([repository], highest)])
      return true
    })
  }

  async list(repository: Repository, page: PageRequest): Promise<Tag[]> {
    const tags: Tag[] = []
    if (page.limit <= 0) return tags
    const start = page.after === undefined ? {} : { after: page.after }
    for await (const [[tag], row] of this.#tables.tags.range([repository], start)) {
      if (row.digest !== undefined) tags.push(tag as Tag)
      if (tags.length === page.limit) break
    }
    return tags
  }

  async pointingAt(repository: Repository, digest: Digest): Promise<Tag[]> {
    const tags: Tag[] = []
    for await (const [[tag]] of this.#tables.tagsOf.range([repository, digest])) tags.push(tag as Tag)
    return tags
  }

  async *of(repository: Repository): AsyncGenerator<TagEntry & { tag: Tag }> {
    for await (const [[tag], row] of this.#tables.tags.range([repository])) yield { ...entryOf(row), tag: tag as Tag }
  }

  async *all(): AsyncGenerator<TagEntry & { repository: Repository; tag: Tag }> {
    for await (const [[repository, tag], row] of this.#tables.tags.range([])) {
      yield { ...entryOf(row), repository: repository as Repository, tag: tag as Tag }
    }
  }

  /** The changes that add to the history of a tag, and drop the oldest of it when there are too many. */
  async #remember(
    repository: Repository,
    tag: Tag,
    count: number,
    entry: TagHistoryEntry | undefined
  ): Promise<{ count: number; changes: Change[] }> {
    if (entry === undefined) return { count, changes: [] }
    const { tagHistory } = this.#tables
    const changes = [tagHistory.put([repository, tag, sequenceKey(entry.sequence), entry.signer], entry)]
    const surplus = Math.max(0, count + 1 - this.#options.maxTagHistory)
    for await (const [[sequence = '', signer = '']] of tagHistory.range([repository, tag], { limit: surplus }))
      changes.push(tagHistory.del([repository, tag, sequence, signer]))
    return { count: count + 1 - surplus, changes }
  }

  #replace(repository: Repository, tag: Tag, here: TagEntry | undefined, row: TagRow): Change[] {
    const { tags, tagsOf, repositories } = this.#tables
    const { digest } = row
    return [
      ...(here?.digest === undefined ? [] : [tagsOf.del([repository, here.digest, tag])]),
      ...(digest === undefined
        ? []
        : [tagsOf.put([repository, digest, tag], true), repositories.put([repository], true)]),
      tags.put([repository, tag], row)
    ]
  }
}

function rowOf({ sequence, digest, envelope, confirmedAt }: TagEntry): TagRow {
  const meaning = digest === undefined ? {} : { digest }
  return { sequence, ...meaning, envelope: Buffer.from(envelope).toString('base64'), confirmedAt }
}

/** The entry that a row keeps. */
export function entryOf({ envelope, history: _count, ...row }: TagRow): TagEntry {
  return { ...row, envelope: new Uint8Array(Buffer.from(envelope, 'base64')) }
}

import type { Digest, Repository, Tag } from '@layermesh/oci'
import { equalBytes } from '../hashing/verified-pieces.ts'
import type { PageRequest, TagEntry, Tags } from '../interfaces.ts'
import { KeyedLock } from '../keyed-lock.ts'
import type { Change, Metadata } from './metadata.ts'
import type { Tables, TagRow } from './tables.ts'

export interface TagsComponents {
  readonly metadata: Metadata
  readonly tables: Tables
}

/** Tags, with an index of those that mean a digest. Changes of the same tag are made one after the other. */
export class StoredTags implements Tags {
  readonly #metadata: Metadata
  readonly #tables: Tables
  readonly #lock = new KeyedLock()

  constructor({ metadata, tables }: TagsComponents) {
    this.#metadata = metadata
    this.#tables = tables
  }

  async get(repository: Repository, tag: Tag): Promise<TagEntry | undefined> {
    const row = await this.#tables.tags.get(repository, tag)
    return row === undefined ? undefined : entryOf(row)
  }

  put(repository: Repository, tag: Tag, entry: TagEntry): Promise<'stored' | 'older' | 'conflict'> {
    return this.#lock.run(`${repository} ${tag}`, async () => {
      const here = await this.get(repository, tag)
      if (here !== undefined && here.sequence > entry.sequence) return 'older'
      if (here?.sequence !== entry.sequence) {
        await this.#metadata.write(this.#replace(repository, tag, here, entry))
        return 'stored'
      }
      if (!equalBytes(here.envelope, entry.envelope)) return 'conflict'
      const confirmed = { ...here, confirmedAt: entry.confirmedAt }
      if (here.confirmedAt < entry.confirmedAt) {
        await this.#metadata.write(this.#replace(repository, tag, here, confirmed))
      }
      return 'stored'
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

  async *all(): AsyncGenerator<TagEntry & { repository: Repository; tag: Tag }> {
    for await (const [[repository, tag], row] of this.#tables.tags.range([])) {
      yield { ...entryOf(row), repository: repository as Repository, tag: tag as Tag }
    }
  }

  #replace(repository: Repository, tag: Tag, here: TagEntry | undefined, entry: TagEntry): Change[] {
    const { tags, tagsOf, repositories } = this.#tables
    const { digest } = entry
    return [
      ...(here?.digest === undefined ? [] : [tagsOf.del([repository, here.digest, tag])]),
      ...(digest === undefined
        ? []
        : [tagsOf.put([repository, digest, tag], true), repositories.put([repository], true)]),
      tags.put([repository, tag], rowOf(entry))
    ]
  }
}

function rowOf({ sequence, digest, envelope, confirmedAt }: TagEntry): TagRow {
  const meaning = digest === undefined ? {} : { digest }
  return { sequence, ...meaning, envelope: Buffer.from(envelope).toString('base64'), confirmedAt }
}

function entryOf({ envelope, ...row }: TagRow): TagEntry {
  return { ...row, envelope: new Uint8Array(Buffer.from(envelope, 'base64')) }
}

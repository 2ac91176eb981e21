import type { Digest, Repository, Tag } from '@layermesh/oci'
import type { PartialRows } from '../downloads/partial-rows.ts'
import type { TagEntry } from '../interfaces.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { isNamed, isNamedByManifest, isTagged } from '../metadata/names.ts'
import type { StoredPins } from '../metadata/pins.ts'
import { manifestRemoval, type StoredRepositories, unlinkChanges } from '../metadata/repositories.ts'
import type { ManifestRow, Tables } from '../metadata/tables.ts'
import { entryOf, type StoredTags } from '../metadata/tags.ts'
import type { ContentStoreOptions } from '../options.ts'
import type { Guards } from './guards.ts'
import type { Uses } from './uses.ts'

export interface ForgettingComponents {
  readonly metadata: Metadata
  readonly tables: Tables
  readonly rows: PartialRows
  readonly guards: Guards
  readonly pins: Pick<StoredPins, 'covers'>
  readonly uses: Uses
  readonly repositories: Pick<StoredRepositories, 'noteMeant'>
  readonly tags: Pick<StoredTags, 'history' | 'forget'>
  readonly now: () => number
  /** Whether what is in this repository must stay here, since others count on this node for it. */
  readonly retains: (repository: Repository) => boolean
  /** Whether nothing would be lost with an entry of a tag. */
  readonly mayForgetTag: ContentStoreOptions['mayForgetTag']
}

export interface ForgettingOptions {
  /** What was used within so long is no garbage, in ms. */
  readonly garbageGraceMs: number
  /** An image that is not here any more is forgotten so long after it came, in ms. */
  readonly forgetImagesMs: number
}

/** Where to go on in a table. */
export interface Start {
  readonly after?: string
}

/** Between the parts of a key; see table.ts. */
const KEY_SEPARATOR = '\0'

/**
 * The steps of a collection that look after rows of the metadata which tell of nothing that is here. Each goes through a
 * table in the order of its keys, and yields the key of each row that it is done with.
 */
export class Forgetting {
  readonly #components: ForgettingComponents
  readonly #options: ForgettingOptions
  readonly #dryRun: boolean
  readonly #onForgotten: () => void

  /** @param onForgotten told of each row that went, or would go in a dry run */
  constructor(components: ForgettingComponents, options: ForgettingOptions, dryRun: boolean, onForgotten: () => void) {
    this.#components = components
    this.#options = options
    this.#dryRun = dryRun
    this.#onForgotten = onForgotten
  }

  /** Tags that may be forgotten. When they meant a manifest that must stay is noted on it: its age counts from then. */
  async *tags(start: Start): AsyncGenerator<string> {
    const { tables, mayForgetTag } = this.#components
    for await (const [[name = '', tagName = ''], row] of tables.tags.range([], start)) {
      const [repository, tag] = [name as Repository, tagName as Tag]
      const entry = entryOf(row)
      if (await mayForgetTag({ ...entry, repository, tag })) {
        if (this.#dryRun || (await this.#forgetTag(repository, tag, entry))) this.#onForgotten()
      }
      yield [name, tagName].join(KEY_SEPARATOR)
    }
  }

  async #forgetTag(repository: Repository, tag: Tag, entry: TagEntry): Promise<boolean> {
    const { tags, repositories, retains } = this.#components
    const history = retains(repository) ? await tags.history(repository, tag, { limit: Number.MAX_SAFE_INTEGER }) : []
    for (const { digest, previous, at } of history) {
      for (const meant of [digest, previous]) {
        if (meant !== undefined) await repositories.noteMeant(repository, meant, at)
      }
    }
    return await tags.forget(repository, tag, entry)
  }

  /** Manifests of images that were removed to make room long ago, in repositories that need not be here. */
  async *manifests(start: Start): AsyncGenerator<string> {
    const { tables, metadata, retains } = this.#components
    for await (const [[name = '', digestText = ''], seen] of tables.manifests.range([], start)) {
      const [repository, digest] = [name as Repository, digestText as Digest]
      if (!retains(repository) && (await this.#isLongGone(repository, seen))) {
        await this.#claimed(digest, async () => {
          const row = await tables.manifests.get(repository, digest)
          if (row === undefined || !(await this.#isLongGone(repository, row))) return
          this.#onForgotten()
          if (!this.#dryRun) await metadata.write(manifestRemoval(tables, repository, row))
        })
      }
      yield [name, digestText].join(KEY_SEPARATOR)
    }
  }

  async #isLongGone(repository: Repository, { digest, at = 0 }: ManifestRow): Promise<boolean> {
    const { tables, pins, now } = this.#components
    if (now() < at + this.#options.forgetImagesMs || !(await this.#isGone(digest))) return false
    if (await isNamedByManifest(tables, repository, digest)) return false
    return !(await isTagged(tables, repository, digest)) && !(await pins.covers(digest))
  }

  /** Links to blobs that are not here, in repositories where nothing names them. */
  async *links(start: Start): AsyncGenerator<string> {
    const { tables, metadata } = this.#components
    for await (const [[name = '', digestText = '']] of tables.links.range([], start)) {
      const [repository, digest] = [name as Repository, digestText as Digest]
      if (await this.#isDeadLink(repository, digest)) {
        await this.#claimed(digest, async () => {
          if (!(await this.#isDeadLink(repository, digest))) return
          this.#onForgotten()
          if (!this.#dryRun) await metadata.write(unlinkChanges(tables, repository, digest))
        })
      }
      yield [name, digestText].join(KEY_SEPARATOR)
    }
  }

  async #isDeadLink(repository: Repository, digest: Digest): Promise<boolean> {
    const { tables } = this.#components
    if ((await tables.blobs.get(digest)) !== undefined || !(await this.#isOld(digest))) return false
    return !(await isNamed(tables, repository, digest))
  }

  /** What is known of blobs that are not here any more. */
  async *leftovers(name: 'uses' | 'pieceMaps' | 'pushes', start: Start): AsyncGenerator<string> {
    const { tables, metadata } = this.#components
    const table = tables[name]
    for await (const [[digestText = '']] of table.range([], start)) {
      const digest = digestText as Digest
      if (await this.#isGone(digest)) {
        await this.#claimed(digest, async () => {
          if (!(await this.#isGone(digest))) return
          this.#onForgotten()
          if (!this.#dryRun) await metadata.write([table.del([digest])])
        })
      }
      yield digest
    }
  }

  /** Does `work` while nobody can come to need the blob; nothing when somebody needs it. */
  async #claimed(digest: Digest, work: () => Promise<void>): Promise<void> {
    const release = this.#components.guards.claim(digest)
    if (release === undefined) return
    try {
      await work()
    } finally {
      release()
    }
  }

  async #isGone(digest: Digest): Promise<boolean> {
    const { tables, rows } = this.#components
    const isHere = (await tables.blobs.get(digest)) !== undefined || (await rows.get(digest)) !== undefined
    return !isHere && (await this.#isOld(digest))
  }

  async #isOld(digest: Digest): Promise<boolean> {
    const { uses, now } = this.#components
    return now() >= (await uses.of(digest)) + this.#options.garbageGraceMs
  }
}

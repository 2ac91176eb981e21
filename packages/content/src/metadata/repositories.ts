import type { Descriptor, Digest, Repository } from '@layermesh/oci'
import type { Guards } from '../cache/guards.ts'
import type { ManifestEntry, PageRequest, Repositories } from '../interfaces.ts'
import { KeyedLock } from '../keyed-lock.ts'
import type { Change, Metadata } from './metadata.ts'
import { isNamed } from './names.ts'
import type { StoredPins } from './pins.ts'
import { ANY, type ManifestRow, type Tables } from './tables.ts'

export interface RepositoriesComponents {
  readonly metadata: Metadata
  readonly tables: Tables
  readonly guards: Guards
  readonly pins: Pick<StoredPins, 'extend'>
  /** In ms since 1970. */
  readonly now: () => number
}

/**
 * Repositories and what they show. A repository is there once something was linked, added or tagged in it, and stays.
 * Whatever links a blob holds it meanwhile, so that it is not removed between the look and the link.
 */
export class StoredRepositories implements Repositories {
  readonly #components: RepositoriesComponents
  readonly #metadata: Metadata
  readonly #tables: Tables
  readonly #lock = new KeyedLock()

  constructor(components: RepositoriesComponents) {
    this.#components = components
    this.#metadata = components.metadata
    this.#tables = components.tables
  }

  async list(page: PageRequest): Promise<Repository[]> {
    const names: Repository[] = []
    for await (const [[name]] of this.#tables.repositories.range([], page)) names.push(name as Repository)
    return names
  }

  async exists(repository: Repository): Promise<boolean> {
    return (await this.#tables.repositories.get(repository)) !== undefined
  }

  async hasBlob(repository: Repository, digest: Digest): Promise<boolean> {
    return (await this.#tables.links.get(repository, digest)) !== undefined
  }

  linkBlobs(repository: Repository, digests: readonly Digest[]): Promise<void> {
    return this.#holding(digests, () => this.#metadata.write(this.#linkNow(repository, digests)))
  }

  mountBlob(repository: Repository, digest: Digest): Promise<boolean> {
    return this.#holding([digest], async () => {
      if ((await this.#tables.blobs.get(digest)) === undefined) return false
      const pushed = this.#tables.pushes.put([digest], this.#components.now())
      await this.#metadata.write([...this.#linkNow(repository, [digest]), pushed])
      return true
    })
  }

  unlinkBlob(repository: Repository, digest: Digest): Promise<boolean> {
    return this.#lock.run(`${repository} ${digest}`, async () => {
      if (!(await this.hasBlob(repository, digest))) return false
      await this.#metadata.write(unlinkChanges(this.#tables, repository, digest))
      return true
    })
  }

  async findBlob(digest: Digest, except?: Repository): Promise<Repository | undefined> {
    for await (const [[repository]] of this.#tables.linkedFrom.range([digest], { limit: 2 })) {
      if (repository !== except) return repository as Repository
    }
    return undefined
  }

  putManifest(
    repository: Repository,
    entry: ManifestEntry,
    blobs: readonly Digest[],
    alsoNames: readonly Digest[] = []
  ): Promise<void> {
    const names = [...new Set([...blobs, ...alsoNames])].filter((name) => name !== entry.digest)
    const put = () => this.#putManifest(repository, { ...entry, names }, blobs)
    return this.#lock.run(`${repository} ${entry.digest}`, () => this.#holding([entry.digest, ...blobs], put))
  }

  async #putManifest(repository: Repository, row: ManifestRow, blobs: readonly Digest[]): Promise<void> {
    const { manifests, referrers } = this.#tables
    const { digest, subject, names } = row
    const replaced = await manifests.get(repository, digest)
    await this.#metadata.write([
      ...linkChanges(this.#tables, repository, blobs),
      ...(replaced === undefined ? [] : manifestRemoval(this.#tables, repository, replaced)),
      ...(subject === undefined ? [] : [referrers.put([repository, subject, digest], descriptorOf(row))]),
      ...manifestChanges(this.#tables, repository, row),
      ...(await this.#components.pins.extend(repository, digest, names)),
      ...(await this.#taken(repository, [digest, ...names]))
    ])
  }

  /**
   * The changes after which these do not count as brought by a client any more: a manifest is kept once a seed has it, and
   * all that it names. What was brought to another repository too waits for the manifest there.
   */
  async #taken(repository: Repository, digests: readonly Digest[]): Promise<Change[]> {
    const changes: Change[] = []
    for (const digest of digests) {
      if ((await this.#tables.pushes.get(digest)) === undefined) continue
      if (!(await this.#isAwaitedElsewhere(repository, digest))) changes.push(this.#tables.pushes.del([digest]))
    }
    return changes
  }

  async #isAwaitedElsewhere(repository: Repository, digest: Digest): Promise<boolean> {
    for await (const [[name]] of this.#tables.linkedFrom.range([digest])) {
      const other = name as Repository
      if (other !== repository && !(await isNamed(this.#tables, other, digest))) return true
    }
    return false
  }

  async manifest(repository: Repository, digest: Digest): Promise<ManifestEntry | undefined> {
    const row = await this.#tables.manifests.get(repository, digest)
    return row && entryOf(row)
  }

  deleteManifest(repository: Repository, digest: Digest): Promise<boolean> {
    return this.#lock.run(`${repository} ${digest}`, async () => {
      const row = await this.#tables.manifests.get(repository, digest)
      if (row === undefined) return false
      await this.#metadata.write(manifestRemoval(this.#tables, repository, row))
      return true
    })
  }

  /** Notes on a manifest, if it is here, that a tag meant it until that time: who asks how old it is counts from then. */
  noteMeant(repository: Repository, digest: Digest, at: number): Promise<void> {
    return this.#lock.run(`${repository} ${digest}`, async () => {
      const { manifests } = this.#tables
      const row = await manifests.get(repository, digest)
      if (row?.at === undefined || row.at >= at) return
      await this.#metadata.write([manifests.put([repository, digest], { ...row, at })])
    })
  }

  async manifests(repository: Repository): Promise<ManifestEntry[]> {
    const entries: ManifestEntry[] = []
    for await (const [, row] of this.#tables.manifests.range([repository])) entries.push(entryOf(row))
    return entries
  }

  async referrers(repository: Repository, subject: Digest): Promise<Descriptor[]> {
    const descriptors: Descriptor[] = []
    for await (const [, descriptor] of this.#tables.referrers.range([repository, subject])) descriptors.push(descriptor)
    return descriptors
  }

  async #holding<Result>(digests: readonly Digest[], work: () => Promise<Result>): Promise<Result> {
    const hold = await this.#components.guards.hold(digests)
    try {
      return await work()
    } finally {
      hold.release()
    }
  }

  /** Links, and notes durably that they were asked for: what was told to a client must outlast a crash. */
  #linkNow(repository: Repository, digests: readonly Digest[]): Change[] {
    const now = this.#components.now()
    const uses = digests.map((digest) => this.#tables.uses.put([digest], now))
    return [...linkChanges(this.#tables, repository, digests), ...uses]
  }
}

/** The changes that link blobs in a repository, which may be new. */
export function linkChanges(tables: Tables, repository: Repository, digests: readonly Digest[]): Change[] {
  return [
    tables.repositories.put([repository], true),
    ...digests.flatMap((digest) => [
      tables.links.put([repository, digest], true),
      tables.linkedFrom.put([digest, repository], true)
    ])
  ]
}

/** The changes that take a blob out of a repository. */
export function unlinkChanges(tables: Tables, repository: Repository, digest: Digest): Change[] {
  return [tables.links.del([repository, digest]), tables.linkedFrom.del([digest, repository])]
}

/** The changes that keep a manifest and what it names. */
export function manifestChanges(tables: Tables, repository: Repository, row: ManifestRow): Change[] {
  return [
    tables.manifests.put([repository, row.digest], row),
    ...row.names.map((name) => tables.namedBy.put([repository, name, row.digest], true))
  ]
}

/** The changes after which a manifest is not here, names nothing, and refers to nothing. */
export function manifestRemoval(tables: Tables, repository: Repository, row: ManifestRow): Change[] {
  const { digest, subject, names } = row
  return [
    tables.manifests.del([repository, digest]),
    ...[...names, ANY].map((name) => tables.namedBy.del([repository, name, digest])),
    ...(subject === undefined ? [] : [tables.referrers.del([repository, subject, digest])])
  ]
}

function entryOf({ names: _names, ...entry }: ManifestRow): ManifestEntry {
  return entry
}

function descriptorOf({ mediaType, digest, size, artifactType, annotations }: ManifestEntry): Descriptor {
  return {
    mediaType,
    digest,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations })
  }
}

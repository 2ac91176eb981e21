import type { Descriptor, Digest, Repository } from '@layermesh/oci'
import type { ManifestEntry, PageRequest, Repositories } from '../interfaces.ts'
import { KeyedLock } from '../keyed-lock.ts'
import type { Change, Metadata } from './metadata.ts'
import type { Tables } from './tables.ts'

export interface RepositoriesComponents {
  readonly metadata: Metadata
  readonly tables: Tables
}

/** Repositories and what they show. A repository is there once something was linked, added or tagged in it, and stays. */
export class StoredRepositories implements Repositories {
  readonly #metadata: Metadata
  readonly #tables: Tables
  readonly #lock = new KeyedLock()

  constructor({ metadata, tables }: RepositoriesComponents) {
    this.#metadata = metadata
    this.#tables = tables
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
    return this.#metadata.write(linkChanges(this.#tables, repository, digests))
  }

  unlinkBlob(repository: Repository, digest: Digest): Promise<boolean> {
    return this.#lock.run(`${repository} ${digest}`, async () => {
      if (!(await this.hasBlob(repository, digest))) return false
      await this.#metadata.write([
        this.#tables.links.del([repository, digest]),
        this.#tables.linkedFrom.del([digest, repository])
      ])
      return true
    })
  }

  async findBlob(digest: Digest, except?: Repository): Promise<Repository | undefined> {
    for await (const [[repository]] of this.#tables.linkedFrom.range([digest], { limit: 2 })) {
      if (repository !== except) return repository as Repository
    }
    return undefined
  }

  putManifest(repository: Repository, entry: ManifestEntry, blobs: readonly Digest[]): Promise<void> {
    return this.#lock.run(`${repository} ${entry.digest}`, async () => {
      const { manifests, referrers } = this.#tables
      const { digest, subject } = entry
      const replaced = await manifests.get(repository, digest)
      await this.#metadata.write([
        ...linkChanges(this.#tables, repository, blobs),
        ...(replaced?.subject === undefined ? [] : [referrers.del([repository, replaced.subject, digest])]),
        ...(subject === undefined ? [] : [referrers.put([repository, subject, digest], descriptorOf(entry))]),
        manifests.put([repository, digest], entry)
      ])
    })
  }

  manifest(repository: Repository, digest: Digest): Promise<ManifestEntry | undefined> {
    return this.#tables.manifests.get(repository, digest)
  }

  deleteManifest(repository: Repository, digest: Digest): Promise<boolean> {
    return this.#lock.run(`${repository} ${digest}`, async () => {
      const { manifests, referrers } = this.#tables
      const entry = await manifests.get(repository, digest)
      if (entry === undefined) return false
      await this.#metadata.write([
        manifests.del([repository, digest]),
        ...(entry.subject === undefined ? [] : [referrers.del([repository, entry.subject, digest])])
      ])
      return true
    })
  }

  async manifests(repository: Repository): Promise<ManifestEntry[]> {
    const entries: ManifestEntry[] = []
    for await (const [, entry] of this.#tables.manifests.range([repository])) entries.push(entry)
    return entries
  }

  async referrers(repository: Repository, subject: Digest): Promise<Descriptor[]> {
    const descriptors: Descriptor[] = []
    for await (const [, descriptor] of this.#tables.referrers.range([repository, subject])) descriptors.push(descriptor)
    return descriptors
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

function descriptorOf({ mediaType, digest, size, artifactType, annotations }: ManifestEntry): Descriptor {
  return {
    mediaType,
    digest,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations })
  }
}

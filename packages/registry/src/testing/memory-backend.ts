import {
  type Descriptor,
  type Digest,
  digestAlgorithm,
  digestOf,
  isManifestType,
  OciError,
  parseManifest,
  type Repository,
  referencedDescriptors,
  referrerOf,
  type Tag
} from '@layermesh/oci'
import type {
  OpenBlob,
  RegistryBackend,
  RegistryBlobs,
  RegistryManifests,
  RegistryTags,
  RegistryUploads,
  ResolvedTag,
  StoredManifest
} from '../interfaces.ts'
import { MemoryUpload } from './memory-upload.ts'

interface Contents {
  readonly blobs: Set<Digest>
  readonly manifests: Map<Digest, StoredManifest>
  readonly tags: Map<Tag, Digest>
}

const CHUNK_BYTES = 64 * 1024

/** A registry in memory, for tests of the HTTP API: everything that is pushed can be pulled, nothing else is there. */
export class MemoryBackend implements RegistryBackend {
  readonly #bytes = new Map<Digest, Uint8Array>()
  readonly #repositories = new Map<Repository, Contents>()
  readonly #sessions = new Map<string, MemoryUpload>()

  /** Puts a blob where `repository` shows it, without HTTP. */
  addBlob(repository: Repository, bytes: Uint8Array, algorithm: 'sha256' | 'sha512' = 'sha256'): Digest {
    const digest = digestOf(bytes, algorithm)
    this.#bytes.set(digest, bytes)
    this.#contents(repository).blobs.add(digest)
    return digest
  }

  /** Puts a manifest there, without HTTP and without checking what it refers to. */
  addManifest(repository: Repository, bytes: Uint8Array, ...tags: Tag[]): Digest {
    const digest = digestOf(bytes)
    const contents = this.#contents(repository)
    contents.manifests.set(digest, { digest, mediaType: parseManifest(bytes).mediaType, bytes })
    for (const tag of tags) contents.tags.set(tag, digest)
    return digest
  }

  readonly blobs: RegistryBlobs = {
    stat: async (repository, digest) => this.#blob(repository, digest)?.byteLength,
    open: async (repository, digest) => {
      const bytes = this.#blob(repository, digest)
      return bytes === undefined ? undefined : openBytes(digest, bytes)
    },
    mount: async (repository, digest, from) => {
      const sources = from === undefined ? [...this.#repositories.keys()] : [from]
      if (!sources.some((source) => this.#blob(source, digest) !== undefined)) return false
      this.#contents(repository).blobs.add(digest)
      return true
    },
    delete: async (repository, digest) => this.#contents(repository).blobs.delete(digest)
  }

  readonly manifests: RegistryManifests = {
    get: async (repository, digest) => this.#repositories.get(repository)?.manifests.get(digest),
    put: async (repository, manifest, tags) => {
      this.#requireReferenced(repository, manifest)
      const contents = this.#contents(repository)
      contents.manifests.set(manifest.digest, manifest)
      for (const tag of tags) contents.tags.set(tag, manifest.digest)
    },
    delete: async (repository, digest) => {
      const contents = this.#contents(repository)
      for (const [tag, meant] of contents.tags) if (meant === digest) contents.tags.delete(tag)
      return contents.manifests.delete(digest)
    },
    referrers: async (repository, subject) => this.#referrers(repository, subject)
  }

  readonly tags: RegistryTags = {
    resolve: async (repository, tag): Promise<ResolvedTag | undefined> => {
      const contents = this.#repositories.get(repository)
      const manifest = contents?.manifests.get(contents.tags.get(tag) as Digest)
      return manifest && { digest: manifest.digest, mediaType: manifest.mediaType, size: manifest.bytes.byteLength }
    },
    delete: async (repository, tag) => this.#contents(repository).tags.delete(tag),
    list: async (repository, page) => {
      const contents = this.#repositories.get(repository)
      return contents && pageOf([...contents.tags.keys()], page)
    }
  }

  readonly uploads: RegistryUploads = {
    create: async (repository) => {
      const upload = new MemoryUpload(repository, {
        commit: (bytes, digest) => {
          if (digestOf(bytes, digestAlgorithm(digest)) !== digest) {
            throw new OciError('DIGEST_INVALID', 'the content has another digest')
          }
          this.addBlob(repository, bytes, digestAlgorithm(digest))
        },
        close: () => this.#sessions.delete(upload.id)
      })
      this.#sessions.set(upload.id, upload)
      return upload
    },
    get: async (repository, id) => {
      const upload = this.#sessions.get(id)
      return upload?.repository === repository ? upload : undefined
    }
  }

  async catalog(page: { after?: string; limit: number }): Promise<string[]> {
    return pageOf([...this.#repositories.keys()], page)
  }

  /** How many uploads are open. */
  get openUploads(): number {
    return this.#sessions.size
  }

  #contents(repository: Repository): Contents {
    const known = this.#repositories.get(repository)
    if (known !== undefined) return known
    const contents: Contents = { blobs: new Set(), manifests: new Map(), tags: new Map() }
    this.#repositories.set(repository, contents)
    return contents
  }

  #blob(repository: Repository, digest: Digest): Uint8Array | undefined {
    return this.#repositories.get(repository)?.blobs.has(digest) ? this.#bytes.get(digest) : undefined
  }

  #requireReferenced(repository: Repository, manifest: StoredManifest): void {
    const { manifests } = this.#contents(repository)
    for (const { digest, mediaType } of referencedDescriptors(parseManifest(manifest.bytes))) {
      const isHere = isManifestType(mediaType) ? manifests.has(digest) : this.#blob(repository, digest) !== undefined
      if (!isHere) throw new OciError('MANIFEST_BLOB_UNKNOWN', 'push it first', { detail: { digest } })
    }
  }

  #referrers(repository: Repository, subject: Digest): Descriptor[] {
    const found: Descriptor[] = []
    for (const { digest, bytes } of this.#repositories.get(repository)?.manifests.values() ?? []) {
      const manifest = parseManifest(bytes)
      if (manifest.subject?.digest === subject) found.push(referrerOf(manifest, digest, bytes.byteLength))
    }
    return found
  }
}

function openBytes(digest: Digest, bytes: Uint8Array): OpenBlob {
  return {
    digest,
    size: bytes.byteLength,
    async *read({ start, end }, signal) {
      for (let at = start; at < end; at += CHUNK_BYTES) {
        signal.throwIfAborted()
        yield bytes.subarray(at, Math.min(at + CHUNK_BYTES, end))
      }
    }
  }
}

function pageOf(names: string[], { after, limit }: { after?: string; limit: number }): string[] {
  return names
    .sort()
    .filter((name) => after === undefined || name > after)
    .slice(0, limit)
}

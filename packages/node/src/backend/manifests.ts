import type { ContentStore } from '@layermesh/content'
import { type Descriptor, type Digest, MAX_MANIFEST_BYTES, type Repository, type Tag } from '@layermesh/oci'
import type { Caller, RegistryManifests, StoredManifest } from '@layermesh/registry'
import type { FoundManifest, MirroredManifests } from '../mirror/mirrored-manifests.ts'
import type { Deletions } from './deletions.ts'
import { keepFetched } from './keep-manifest.ts'
import type { FetchFromMesh, PullResult } from './pulls.ts'
import type { PushService } from './push-service.ts'
import { readWhole } from './resuming-blob.ts'
import type { SeedRouter } from './seed-router.ts'

export interface MeshManifestsComponents {
  readonly content: ContentStore
  readonly fetch: FetchFromMesh
  readonly router: SeedRouter
  readonly pushes: PushService
  readonly deletions: Deletions
  /** Undefined when no other registry is mirrored. */
  readonly mirrored?: MirroredManifests | undefined
  /** Tells the mesh that whoever holds `like` holds these too, most likely. */
  expect(digests: readonly Digest[], like: Digest): void
  listReferrers(repository: Repository, subject: Digest, signal: AbortSignal): Promise<Descriptor[]>
  onPull(kind: 'manifest', result: PullResult): void
  /** Told of each manifest that a client is given. */
  onManifest(repository: Repository, digest: Digest, bytes: Uint8Array): void
}

/** Manifests for clients: from the store, or from peers; what one names may be pulled from its repository. */
export class MeshManifests implements RegistryManifests {
  readonly #components: MeshManifestsComponents

  constructor(components: MeshManifestsComponents) {
    this.#components = components
  }

  async get(repository: Repository, digest: Digest, signal: AbortSignal): Promise<StoredManifest | undefined> {
    const { onPull, onManifest } = this.#components
    try {
      const found = await this.find(repository, digest, signal)
      if (found) onManifest(repository, digest, found.manifest.bytes)
      onPull('manifest', found?.result ?? 'miss')
      return found?.manifest
    } catch (error) {
      onPull('manifest', 'error')
      throw error
    }
  }

  put(
    repository: Repository,
    manifest: StoredManifest,
    tags: readonly Tag[],
    caller: Caller,
    signal: AbortSignal
  ): Promise<void> {
    return this.#components.pushes.push(repository, manifest, tags, caller, signal)
  }

  delete(repository: Repository, digest: Digest, caller: Caller, signal: AbortSignal): Promise<boolean> {
    return this.#components.deletions.manifest(repository, digest, caller, signal)
  }

  referrers(repository: Repository, subject: Digest, signal: AbortSignal): Promise<Descriptor[]> {
    return this.#components.listReferrers(repository, subject, signal)
  }

  private async find(repository: Repository, digest: Digest, signal: AbortSignal): Promise<FoundManifest | undefined> {
    const { content, fetch, router, expect, mirrored } = this.#components
    if (mirrored?.covers(repository)) return await mirrored.find(repository, digest, signal)
    const entry = await content.repositories.manifest(repository, digest)
    const here = entry && (await content.blobs.open(digest))
    if (entry && here?.complete) {
      const bytes = await readWhole(here, MAX_MANIFEST_BYTES, signal)
      return { manifest: { digest, mediaType: entry.mediaType, bytes }, result: 'hit' }
    }
    if (!entry && router.isSoleAuthority(repository)) return undefined

    // A link without an entry is a digest that a signed tag or another manifest of this repository names.
    const proven = entry !== undefined || (await content.repositories.hasBlob(repository, digest))
    const candidates = proven ? [] : await router.confirm(repository, digest, signal)
    if (!proven && candidates.length === 0) return undefined
    const reader = await fetch(digest, { candidates, maxBytes: MAX_MANIFEST_BYTES }, signal)
    if (!reader) return undefined
    const manifest = await keepFetched(content, repository, reader, expect, signal)
    return manifest && { manifest, result: reader.complete ? 'hit' : 'mesh' }
  }
}

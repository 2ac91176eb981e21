import type { ContentStore } from '@layermesh/content'
import {
  type Descriptor,
  type Digest,
  MAX_MANIFEST_BYTES,
  type Manifest,
  OciError,
  parseManifest,
  type Repository,
  referencedDescriptors,
  type Tag
} from '@layermesh/oci'
import type { Caller, RegistryManifests, StoredManifest } from '@layermesh/registry'
import type { FetchFromMesh, PullResult } from './blobs.ts'
import type { Deletions } from './deletions.ts'
import { keepManifest } from './keep-manifest.ts'
import type { PushService } from './push-service.ts'
import { readWhole } from './resuming-blob.ts'
import type { SeedRouter } from './seed-router.ts'

export interface MeshManifestsComponents {
  readonly content: ContentStore
  readonly fetch: FetchFromMesh
  readonly router: SeedRouter
  readonly pushes: PushService
  readonly deletions: Deletions
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

  private async find(
    repository: Repository,
    digest: Digest,
    signal: AbortSignal
  ): Promise<{ manifest: StoredManifest; result: PullResult } | undefined> {
    const { content, fetch, router, expect } = this.#components
    const entry = await content.repositories.manifest(repository, digest)
    const here = entry && (await content.blobs.open(digest))
    if (entry && here?.complete) {
      return {
        manifest: { digest, mediaType: entry.mediaType, bytes: await readWhole(here, MAX_MANIFEST_BYTES, signal) },
        result: 'hit'
      }
    }
    if (!entry && router.isSoleAuthority(repository)) return undefined

    // A link without an entry is a digest that a signed tag or another manifest of this repository names.
    const proven = entry !== undefined || (await content.repositories.hasBlob(repository, digest))
    const candidates = proven ? [] : await router.confirm(repository, digest, signal)
    if (!proven && candidates.length === 0) return undefined
    const reader = await fetch(digest, { candidates, maxBytes: MAX_MANIFEST_BYTES }, signal)
    if (!reader) return undefined
    const bytes = await readWhole(reader, MAX_MANIFEST_BYTES, signal)
    const manifest = parseFetched(bytes)
    if (!manifest) return undefined
    await keepManifest(content, repository, digest, bytes, manifest)
    expect(
      referencedDescriptors(manifest).map((descriptor) => descriptor.digest),
      digest
    )
    return { manifest: { digest, mediaType: manifest.mediaType, bytes }, result: reader.complete ? 'hit' : 'mesh' }
  }
}

/** A blob that was asked for as a manifest but is none: there is no such manifest. */
function parseFetched(bytes: Uint8Array): Manifest | undefined {
  try {
    return parseManifest(bytes)
  } catch (error) {
    if (error instanceof OciError) return undefined
    throw error
  }
}

import type { BlobReader, ContentStore } from '@layermesh/content'
import {
  type Descriptor,
  type Digest,
  MAX_MANIFEST_BYTES,
  parseManifest,
  type Repository,
  referencedDescriptors
} from '@layermesh/oci'
import type { StoredManifest } from '@layermesh/registry'
import { keepFetched } from '../backend/keep-manifest.ts'
import type { FetchFromMesh, PullResult } from '../backend/pulls.ts'
import { readWhole } from '../backend/resuming-blob.ts'
import type { SeedRouter } from '../backend/seed-router.ts'
import type { MirroredContent } from './mirrored-content.ts'
import type { MirroredRepository, Mirrors } from './mirrors.ts'
import { prove } from './prove.ts'

/** A manifest and where it was. */
export interface FoundManifest {
  readonly manifest: StoredManifest
  readonly result: PullResult
}

export interface MirroredManifestsComponents {
  readonly mirrors: Mirrors
  readonly origins: MirroredContent
  readonly content: ContentStore
  readonly router: SeedRouter
  readonly fetch: FetchFromMesh
  /** Tells the mesh that whoever holds `like` holds these too, most likely. */
  expect(digests: readonly Digest[], like: Digest): void
  readonly log: { debug(fields: object, message: string): void }
}

/** Manifests of other registries: from the store, from the mesh, or through it from their registry. */
export class MirroredManifests {
  readonly #components: MirroredManifestsComponents

  constructor(components: MirroredManifestsComponents) {
    this.#components = components
  }

  covers(repository: Repository): boolean {
    return this.#components.mirrors.find(repository) !== undefined
  }

  /** Undefined when it can't be had, for whatever reason: the client goes to the registry itself then. */
  async find(repository: Repository, digest: Digest, signal: AbortSignal): Promise<FoundManifest | undefined> {
    const { mirrors, log } = this.#components
    const mirrored = mirrors.find(repository)
    if (!mirrored) return undefined
    try {
      return (await this.here(repository, digest, signal)) ?? (await this.bring(mirrored, digest, signal))
    } catch (error) {
      signal.throwIfAborted()
      log.debug({ repository, digest, err: error }, 'a manifest of another registry could not be brought')
      return undefined
    }
  }

  /** Has a manifest here that its registry has named. Undefined when it can't be had. */
  async require(
    mirrored: MirroredRepository,
    digest: Digest,
    signal: AbortSignal
  ): Promise<Pick<Descriptor, 'digest' | 'mediaType' | 'size'> | undefined> {
    await this.#components.content.repositories.linkBlobs(mirrored.repository, [digest])
    const found = await this.find(mirrored.repository, digest, signal)
    return found && { digest, mediaType: found.manifest.mediaType, size: found.manifest.bytes.byteLength }
  }

  private async here(repository: Repository, digest: Digest, signal: AbortSignal): Promise<FoundManifest | undefined> {
    const { content, origins } = this.#components
    const entry = await content.repositories.manifest(repository, digest)
    const reader = entry && (await content.blobs.open(digest))
    if (!entry || !reader?.complete) return undefined
    const bytes = await readWhole(reader, MAX_MANIFEST_BYTES, signal)
    origins.learnSizes(referencedDescriptors(parseManifest(bytes)))
    return { manifest: { digest, mediaType: entry.mediaType, bytes }, result: 'hit' }
  }

  private async bring(
    mirrored: MirroredRepository,
    digest: Digest,
    signal: AbortSignal
  ): Promise<FoundManifest | undefined> {
    const { content, origins, fetch, expect, mirrors } = this.#components
    const { repository } = mirrored
    const isLinked = await content.repositories.hasBlob(repository, digest)
    const proof = isLinked ? { candidates: [] } : await prove(this.proving, mirrored, digest, 'manifest', signal)
    if (!proof) return undefined
    const origin = origins.origin(mirrored, 'manifest')
    const { candidates } = proof
    const reader = await fetch(digest, { candidates, maxBytes: MAX_MANIFEST_BYTES, origin }, signal)
    const manifest = reader && (await keepFetched(content, repository, reader, expect, signal, !mirrors.isolates))
    if (!manifest) return undefined
    origins.learnSizes(referencedDescriptors(parseManifest(manifest.bytes)))
    return { manifest, result: this.resultOf(reader) }
  }

  private resultOf({ complete, digest }: BlobReader): PullResult {
    if (this.#components.origins.wasBroughtHere(digest)) return 'upstream'
    return complete ? 'hit' : 'mesh'
  }

  private get proving() {
    const { router, origins } = this.#components
    return { router, content: origins }
  }
}

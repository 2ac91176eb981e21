import type { BlobReader, ContentStore } from '@layermesh/content'
import type { Digest, Repository } from '@layermesh/oci'
import type { FetchFromMesh } from '../backend/pulls.ts'
import type { SeedRouter } from '../backend/seed-router.ts'
import type { MirroredContent } from './mirrored-content.ts'
import type { MirroredRepository, Mirrors } from './mirrors.ts'
import { type Proof, prove } from './prove.ts'

export interface MirroredBlobsComponents {
  readonly mirrors: Mirrors
  readonly origins: MirroredContent
  readonly content: ContentStore
  readonly router: SeedRouter
  readonly fetch: FetchFromMesh
  readonly log: { debug(fields: object, message: string): void }
}

/** Blobs of other registries: from the store, from peers, or through the mesh from their registry, while they arrive. */
export class MirroredBlobs {
  readonly #components: MirroredBlobsComponents

  constructor(components: MirroredBlobsComponents) {
    this.#components = components
  }

  covers(repository: Repository): boolean {
    return this.#components.mirrors.find(repository) !== undefined
  }

  wasBroughtHere(digest: Digest): boolean {
    return this.#components.origins.wasBroughtHere(digest)
  }

  /**
   * Length of a blob in bytes, without bringing it: as the store, a manifest or its registry has it. While the registry
   * does not answer, peers are asked for the blob itself.
   */
  async stat(repository: Repository, digest: Digest, signal: AbortSignal): Promise<number | undefined> {
    const { mirrors, content, origins } = this.#components
    const mirrored = mirrors.find(repository)
    if (!mirrored) return undefined
    if (await content.repositories.hasBlob(repository, digest)) {
      const here = await content.blobs.open(digest)
      const size = here?.size ?? origins.knownSize(digest) ?? (await origins.ask(mirrored, digest, 'blob'))
      return size ?? (await this.open(repository, digest, signal))?.size
    }
    const size = await origins.ask(mirrored, digest, 'blob')
    return size ?? (await this.open(repository, digest, signal))?.size
  }

  /** Undefined when it can't be had, for whatever reason: the client goes to the registry itself then. */
  async open(repository: Repository, digest: Digest, signal: AbortSignal): Promise<BlobReader | undefined> {
    const { mirrors, content, log } = this.#components
    const mirrored = mirrors.find(repository)
    if (!mirrored) return undefined
    try {
      const isLinked = await content.repositories.hasBlob(repository, digest)
      const here = isLinked ? await content.blobs.open(digest) : undefined
      return here?.complete ? here : await this.bring(mirrored, digest, isLinked, signal)
    } catch (error) {
      signal.throwIfAborted()
      log.debug({ repository, digest, err: error }, 'a blob of another registry could not be brought')
      return undefined
    }
  }

  private async bring(
    mirrored: MirroredRepository,
    digest: Digest,
    isLinked: boolean,
    signal: AbortSignal
  ): Promise<BlobReader | undefined> {
    const { content, origins, router, fetch } = this.#components
    const proof: Proof | undefined = isLinked
      ? { candidates: [] }
      : await prove({ router, content: origins }, mirrored, digest, 'blob', signal)
    if (!proof) return undefined
    const size = proof.size ?? origins.knownSize(digest)
    const request = {
      candidates: proof.candidates,
      origin: origins.origin(mirrored, 'blob'),
      ...(size === undefined ? {} : { size })
    }
    const reader = await fetch(digest, request, signal)
    if (reader && !isLinked) await content.repositories.linkBlobs(mirrored.repository, [digest])
    return reader
  }
}

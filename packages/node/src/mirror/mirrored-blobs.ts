import { type BlobReader, type ContentStore, isContentError } from '@layermesh/content'
import type { Digest, Repository } from '@layermesh/oci'
import { LRUCache } from 'lru-cache'
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

/** Until a registry that gave other bytes than a digest stands for is asked for them again. */
const WRONG_MS = 60_000
const MAX_WRONG = 1_024

/** Blobs of other registries: from the store, from peers, or through the mesh from their registry, while they arrive. */
export class MirroredBlobs {
  readonly #components: MirroredBlobsComponents
  readonly #wrong = new LRUCache<string, true>({ max: MAX_WRONG, ttl: WRONG_MS })

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
      if (here?.complete) return here
      if (this.#wrong.has(keyOf(repository, digest))) return undefined
      return await this.bring(mirrored, digest, isLinked, signal)
    } catch (error) {
      signal.throwIfAborted()
      this.noteFailure(repository, digest, error)
      log.debug({ repository, digest, err: error }, 'a blob of another registry could not be brought')
      return undefined
    }
  }

  /**
   * Remembers that this node itself was given wrong bytes, so that not each client that tries again has all of them
   * fetched anew.
   */
  noteFailure(repository: Repository, digest: Digest, failure: unknown): void {
    const cause = failure instanceof Error ? failure.cause : undefined
    if (!isContentError(cause, 'DIGEST_MISMATCH') || !this.wasBroughtHere(digest)) return
    this.#wrong.set(keyOf(repository, digest), true)
    this.#components.log.debug({ repository, digest }, 'a registry gave other bytes than the digest stands for')
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

function keyOf(repository: Repository, digest: Digest): string {
  return `${repository}@${digest}`
}

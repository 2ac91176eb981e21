import type { BlobReader, ContentStore } from '@layermesh/content'
import type { Digest, Repository } from '@layermesh/oci'
import type { Caller, OpenBlob, RegistryBlobs } from '@layermesh/registry'
import type { MirroredBlobs } from '../mirror/mirrored-blobs.ts'
import type { Deletions } from './deletions.ts'
import type { FetchFromMesh, PullResult } from './pulls.ts'
import { ResumingBlob } from './resuming-blob.ts'
import type { SeedRouter } from './seed-router.ts'

export interface MeshBlobsComponents {
  readonly content: ContentStore
  /** Brings a blob into the store. */
  readonly fetch: FetchFromMesh
  /**
   * For whoever only reads a blob: it may find it on this host, in another store than the node's own. What a client is told
   * to be here, and so does not push, has to be in that.
   */
  readonly fetchForReading: FetchFromMesh
  readonly router: SeedRouter
  readonly deletions: Deletions
  /** Undefined when no other registry is mirrored. */
  readonly mirrored?: MirroredBlobs | undefined
  onPull(kind: 'blob', result: PullResult): void
}

/** Blobs for clients: from the store, from peers while they arrive, or through them from another registry. */
export class MeshBlobs implements RegistryBlobs {
  readonly #components: MeshBlobsComponents

  constructor(components: MeshBlobsComponents) {
    this.#components = components
  }

  async stat(repository: Repository, digest: Digest, signal: AbortSignal): Promise<number | undefined> {
    const { mirrored } = this.#components
    if (mirrored?.covers(repository)) return await mirrored.stat(repository, digest, signal)
    return (await this.reader(repository, digest, this.#components.fetch, signal))?.size
  }

  async open(repository: Repository, digest: Digest, signal: AbortSignal): Promise<OpenBlob | undefined> {
    const { onPull, mirrored, fetchForReading } = this.#components
    try {
      const reader = await this.reader(repository, digest, fetchForReading, signal)
      const cameFrom = mirrored?.wasBroughtHere(digest) ? 'upstream' : 'mesh'
      onPull('blob', reader === undefined ? 'miss' : reader.complete ? 'hit' : cameFrom)
      return reader && this.resuming(repository, reader)
    } catch (error) {
      onPull('blob', 'error')
      throw error
    }
  }

  /** A client that has had nothing yet of what another registry has goes there itself when it is told that it is not here. */
  private resuming(repository: Repository, reader: BlobReader): OpenBlob {
    const { mirrored, fetchForReading } = this.#components
    const { digest } = reader
    if (!mirrored?.covers(repository)) {
      return new ResumingBlob(reader, (signal) => this.reader(repository, digest, fetchForReading, signal))
    }
    const reopen = (signal: AbortSignal, failure: unknown) => {
      mirrored.noteFailure(repository, digest, failure)
      return mirrored.open(repository, digest, signal)
    }
    return new ResumingBlob(reader, reopen, 'BLOB_UNKNOWN')
  }

  /** At a node, bytes that only the seed has come here first, so that the mount holds on both. */
  async mount(repository: Repository, digest: Digest, from: Repository | undefined, _caller: Caller): Promise<boolean> {
    const { repositories } = this.#components.content
    const source = from ?? (await repositories.findBlob(digest, repository))
    if (source === undefined || !(await repositories.hasBlob(source, digest))) return false
    return await repositories.mountBlob(repository, digest)
  }

  delete(repository: Repository, digest: Digest, caller: Caller): Promise<boolean> {
    return this.#components.deletions.blob(repository, digest, caller)
  }

  /**
   * The blob if the repository may show it: when it is linked there, from anywhere; when not, only from peers that know
   * it to be in this repository. A seed knows all there is in its repositories, so it asks nobody.
   */
  private async reader(
    repository: Repository,
    digest: Digest,
    fetch: FetchFromMesh,
    signal: AbortSignal
  ): Promise<BlobReader | undefined> {
    const { content, router, mirrored } = this.#components
    if (mirrored?.covers(repository)) return await mirrored.open(repository, digest, signal)
    if (await this.isLinkedToStay(repository, digest)) {
      const here = await content.blobs.open(digest)
      return here?.complete ? here : await fetch(digest, {}, signal)
    }
    if (router.isSoleAuthority(repository)) return undefined
    const holders = await router.confirm(repository, digest, signal)
    if (holders.length === 0) return undefined
    const reader = await fetch(digest, { candidates: holders }, signal)
    if (reader) await content.repositories.linkBlobs(repository, [digest])
    return reader
  }

  /**
   * Whether the repository shows the blob, and goes on to for the length of a lease: who is told that it is here pushes a
   * manifest with it next. A collection that was about to take the link is over when it is looked for again. Only what is
   * linked is leased: else whoever asks for what is not could keep all leases busy.
   */
  private async isLinkedToStay(repository: Repository, digest: Digest): Promise<boolean> {
    const { repositories, leases } = this.#components.content
    if (!(await repositories.hasBlob(repository, digest))) return false
    await leases.renew([digest])
    return await repositories.hasBlob(repository, digest)
  }
}

import type { ContentStore } from '@layermesh/content'
import type { PushRequest } from '@layermesh/mesh'
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
import type { Caller, StoredManifest } from '@layermesh/registry'
import PQueue from 'p-queue'
import type { ImmutableTags } from '../tags/immutable-tags.ts'
import type { TagAuthor, TagAuthority } from '../tags/tag-authority.ts'
import type { TagRecords } from '../tags/tag-records.ts'
import { keepManifest } from './keep-manifest.ts'
import type { FetchFromMesh } from './pulls.ts'
import { readWhole } from './resuming-blob.ts'
import { credentialOf, requireOwn, requirePush } from './rights.ts'
import type { SeedRouter } from './seed-router.ts'

export interface PushServiceComponents {
  readonly peerId: string
  readonly content: ContentStore
  readonly fetch: FetchFromMesh
  readonly router: SeedRouter
  /** Undefined on a node that is no seed. */
  readonly authority: TagAuthority | undefined
  readonly records: TagRecords
  readonly immutable: ImmutableTags
  /** Whether a peer holds a blob and says that it is in the repository. */
  holdsWithin(peerId: string, digest: Digest, repository: Repository, signal: AbortSignal): Promise<boolean>
  /** Tells the mesh that this node has a blob. */
  announce(digest: Digest): void
  /** What clients may do here, nodes may on behalf of theirs. */
  readonly permits: { readonly pushes: boolean }
  /** The registry whose word counts for the repository; undefined when it is the mesh's own. @default none */
  mirroredFrom?(repository: Repository): string | undefined
}

const BLOBS_FETCHED_AT_ONCE = 3

/**
 * Takes manifests. A seed does so itself. A node keeps what was pushed to it and has the seed take the manifest too: the
 * seed fetches from the node what it lacks, then signs, so that an acknowledged push outlives the node.
 */
export class PushService {
  readonly #components: PushServiceComponents

  constructor(components: PushServiceComponents) {
    this.#components = components
  }

  /** A client pushed a manifest here. @throws {OciError} MANIFEST_BLOB_UNKNOWN, DENIED, UNAVAILABLE */
  async push(
    repository: Repository,
    pushed: StoredManifest,
    tags: readonly Tag[],
    caller: Caller,
    signal: AbortSignal
  ): Promise<void> {
    const manifest = { ...parseManifest(pushed.bytes, pushed.mediaType), mediaType: pushed.mediaType }
    await this.holding(pushed.digest, manifest, () => this.pushHeld(repository, pushed, manifest, tags, caller, signal))
  }

  private async pushHeld(
    repository: Repository,
    pushed: StoredManifest,
    manifest: Manifest,
    tags: readonly Tag[],
    caller: Caller,
    signal: AbortSignal
  ): Promise<void> {
    const { content, records, announce, peerId } = this.#components
    const descriptor = { digest: pushed.digest, mediaType: pushed.mediaType, size: pushed.bytes.byteLength }
    const authority = this.authorityFor(repository)
    await this.judge(authority, repository, pushed.digest, tags, caller)
    if (authority) await this.bringReferenced(repository, manifest, undefined, signal)
    await this.requireReferenced(repository, manifest, signal)
    await content.blobs.put(pushed.digest, pushed.bytes)
    const kept: KeptManifest = { repository, descriptor, bytes: pushed.bytes, manifest }
    if (authority) {
      await this.keepAndSign(authority, kept, tags, { caller, node: peerId }, signal)
      return
    }
    // Only what the seed has accepted may be seen in the repository.
    const envelopes = await this.passOn({ repository, manifest: descriptor, tags, ...credentialOf(caller) }, signal)
    await keepManifest(content, repository, pushed.digest, pushed.bytes, manifest)
    announce(pushed.digest)
    for (const envelope of envelopes) await records.take(envelope, 'seed', 'authority')
  }

  /** A node passed on a push to this seed; it holds the content. @returns the signed records @throws {OciError} */
  async takePush(
    from: string,
    { repository, manifest: descriptor, tags }: PushRequest,
    caller: Caller,
    signal: AbortSignal
  ): Promise<Uint8Array[]> {
    const { content, fetch, permits } = this.#components
    if (!permits.pushes) throw new OciError('UNSUPPORTED', 'the seed takes no pushes: it is read-only')
    const authority = this.authorityFor(repository)
    if (!authority)
      throw new OciError('DENIED', 'this node does not sign for the repository', { detail: { repository } })
    await this.judge(authority, repository, descriptor.digest, tags, caller)
    const reader = await fetch(descriptor.digest, { candidates: [from], maxBytes: MAX_MANIFEST_BYTES }, signal)
    if (!reader)
      throw new OciError('MANIFEST_UNKNOWN', 'the manifest could not be fetched from the node that it was pushed to')
    const bytes = await readWhole(reader, MAX_MANIFEST_BYTES, signal)
    const manifest = parseManifest(bytes, descriptor.mediaType)
    return await this.holding(descriptor.digest, manifest, async () => {
      await this.bringReferenced(repository, manifest, from, signal)
      await content.downloads.whole(descriptor.digest, signal)
      const kept: KeptManifest = {
        repository,
        descriptor: { ...descriptor, size: bytes.byteLength },
        bytes,
        manifest: { ...manifest, mediaType: descriptor.mediaType }
      }
      return await this.keepAndSign(authority, kept, tags, { caller, node: from }, signal)
    })
  }

  /** Has a manifest and all that it names stay here, from before it is looked whether they are here until they are linked. */
  private async holding<T>(digest: Digest, manifest: Manifest, work: () => Promise<T>): Promise<T> {
    const named = referencedDescriptors(manifest).map((descriptor) => descriptor.digest)
    const hold = await this.#components.content.leases.hold([digest, ...named])
    try {
      return await work()
    } finally {
      hold.release()
    }
  }

  /** Refuses early what would be refused in the end, so that nothing is brought for it. */
  private async judge(
    authority: TagAuthority | undefined,
    repository: Repository,
    digest: Digest,
    tags: readonly Tag[],
    caller: Caller
  ): Promise<void> {
    requirePush(caller, repository)
    requireOwn(this.#components.mirroredFrom?.(repository), repository)
    for (const tag of tags) await authority?.judge(repository, tag, digest, caller)
  }

  private keepAndSign(
    authority: TagAuthority,
    { repository, descriptor, bytes, manifest }: KeptManifest,
    tags: readonly Tag[],
    author: TagAuthor,
    signal: AbortSignal
  ): Promise<Uint8Array[]> {
    const { content, announce, immutable } = this.#components
    return authority.exclusively(immutable.turn(repository, descriptor.digest), async () => {
      await this.requireReferenced(repository, manifest, signal)
      await keepManifest(content, repository, descriptor.digest, bytes, manifest)
      announce(descriptor.digest)
      const envelopes: Uint8Array[] = []
      for (const tag of tags) envelopes.push(await authority.set(repository, tag, descriptor, author))
      return envelopes
    })
  }

  private authorityFor(repository: Repository): TagAuthority | undefined {
    return this.#components.authority?.isAuthority(repository) ? this.#components.authority : undefined
  }

  private passOn(push: PushRequest, signal: AbortSignal): Promise<readonly Uint8Array[]> {
    return this.#components.router.push(push, signal)
  }

  /** All that a manifest names must be in its repository already: here, or by the word of the mesh. */
  private async requireReferenced(repository: Repository, manifest: Manifest, signal: AbortSignal): Promise<void> {
    const missing: Digest[] = []
    for (const { digest } of referencedDescriptors(manifest)) {
      if (!(await this.isIn(repository, digest, manifest.kind, signal))) missing.push(digest)
    }
    if (missing.length > 0) {
      throw new OciError('MANIFEST_BLOB_UNKNOWN', 'the manifest names content that was not pushed to this repository', {
        detail: { missing }
      })
    }
  }

  private async isIn(
    repository: Repository,
    digest: Digest,
    kind: Manifest['kind'],
    signal: AbortSignal
  ): Promise<boolean> {
    const { content, router } = this.#components
    if (kind === 'index' && (await content.repositories.manifest(repository, digest))) return true
    if (kind === 'image' && (await this.isHere(repository, digest))) return true
    // A seed has all of an image itself; of an index it may leave images to other seeds.
    if (this.authorityFor(repository) && (kind === 'image' || router.isSoleAuthority(repository))) return false
    return (await router.confirm(repository, digest, signal)).length > 0
  }

  private async isHere(repository: Repository, digest: Digest): Promise<boolean> {
    const { repositories, blobs } = this.#components.content
    return (await repositories.hasBlob(repository, digest)) && (await blobs.stat(digest)) !== undefined
  }

  /**
   * Fetches what this seed lacks in the repository, as far as the pushing node or, where there are other seeds, the mesh
   * says it is in there: bytes that the seed has for another repository are no reason to show them in this one. Child
   * manifests were passed on before their index.
   */
  private async bringReferenced(
    repository: Repository,
    manifest: Manifest,
    from: string | undefined,
    signal: AbortSignal
  ): Promise<void> {
    if (manifest.kind === 'index') return
    const { content, fetch, announce } = this.#components
    const queue = new PQueue({ concurrency: BLOBS_FETCHED_AT_ONCE })
    const bring = async ({ digest, size }: Descriptor) => {
      if (await this.isHere(repository, digest)) return
      const candidates = await this.holdersOf(repository, digest, from, signal)
      if (candidates.length === 0) return
      if (!(await content.blobs.stat(digest))) {
        const reader = await fetch(digest, { candidates, size }, signal)
        if (!reader) return
        await content.downloads.whole(digest, signal)
      }
      await content.repositories.linkBlobs(repository, [digest])
      announce(digest)
    }
    await queue.addAll(referencedDescriptors(manifest).map((descriptor) => () => bring(descriptor)))
  }

  private async holdersOf(
    repository: Repository,
    digest: Digest,
    from: string | undefined,
    signal: AbortSignal
  ): Promise<string[]> {
    const { holdsWithin, router } = this.#components
    if (from !== undefined && (await holdsWithin(from, digest, repository, signal))) return [from]
    return router.isSoleAuthority(repository) ? [] : await router.confirm(repository, digest, signal)
  }
}

interface KeptManifest {
  readonly repository: Repository
  readonly descriptor: { readonly digest: Digest; readonly mediaType: string; readonly size: number }
  readonly bytes: Uint8Array
  readonly manifest: Manifest
}

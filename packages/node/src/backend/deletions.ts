import type { ContentStore } from '@layermesh/content'
import type { DeleteRequest } from '@layermesh/mesh'
import { type Digest, OciError, parseDigest, parseTag, type Repository, type Tag } from '@layermesh/oci'
import type { Caller } from '@layermesh/registry'
import type { ImmutableTags } from '../tags/immutable-tags.ts'
import type { OtherSeeds } from '../tags/other-seeds.ts'
import type { TagAuthor, TagAuthority } from '../tags/tag-authority.ts'
import { credentialOf, requireDelete, requireOwn } from './rights.ts'
import type { SeedRouter } from './seed-router.ts'

export interface DeletionsComponents {
  readonly peerId: string
  readonly content: ContentStore
  readonly router: SeedRouter
  /** Undefined on a node that is no seed. */
  readonly authority: TagAuthority | undefined
  readonly immutable: ImmutableTags
  readonly others: Pick<OtherSeeds, 'include'>
  /** Whether clients may delete here; nodes may then too, on behalf of theirs. */
  readonly permitted: boolean
  /** The registry whose word counts for the repository; undefined when it is the mesh's own. @default none */
  mirroredFrom?(repository: Repository): string | undefined
}

const BLOB_DEADLINE_MS = 5_000

/** Deletes manifests, tags and blobs of repositories: a seed by itself, a node once the seed has done so. */
export class Deletions {
  readonly #components: DeletionsComponents

  constructor(components: DeletionsComponents) {
    this.#components = components
  }

  /** A client deletes a manifest and all tags that mean it. False when there is none. @throws {OciError} DENIED, UNAUTHORIZED, UNAVAILABLE */
  async manifest(repository: Repository, digest: Digest, caller: Caller, signal: AbortSignal): Promise<boolean> {
    const { router, content, peerId } = this.#components
    const authority = this.authorityFor(repository)
    const request: DeleteRequest = { repository, kind: 'manifest', reference: digest, ...credentialOf(caller) }
    if (authority) {
      const here = await this.removeManifest(authority, repository, digest, { caller, node: peerId })
      return (await router.deleteAtOthers(request, signal)) || here
    }
    const there = await router.delete(request, signal)
    return (await dropManifest(content, repository, digest)) || there
  }

  /** A client deletes a tag. False when there is none. @throws {OciError} DENIED, UNAUTHORIZED, UNAVAILABLE */
  async tag(repository: Repository, tag: Tag, caller: Caller, signal: AbortSignal): Promise<boolean> {
    const { router, peerId } = this.#components
    const authority = this.authorityFor(repository)
    if (authority) return await this.removeTag(authority, repository, tag, { caller, node: peerId })
    // The tombstone comes back over the mesh like any changed record.
    return await router.delete({ repository, kind: 'tag', reference: tag, ...credentialOf(caller) }, signal)
  }

  /** A client takes a blob out of a repository. False when it was not in there. @throws {OciError} DENIED, UNAUTHORIZED, UNAVAILABLE */
  async blob(repository: Repository, digest: Digest, caller: Caller): Promise<boolean> {
    const { router, content } = this.#components
    const authority = this.authorityFor(repository)
    const request: DeleteRequest = { repository, kind: 'blob', reference: digest, ...credentialOf(caller) }
    const deadline = AbortSignal.timeout(BLOB_DEADLINE_MS)
    if (authority) {
      const here = await this.removeBlob(authority, repository, digest, caller)
      return (await router.deleteAtOthers(request, deadline)) || here
    }
    const there = await router.delete(request, deadline)
    return (await content.repositories.unlinkBlob(repository, digest)) || there
  }

  /**
   * Removes manifests of this seed that no tag means. Which ones is asked while nothing is pushed to the repository or
   * deleted there; that takes that pushes there take turns ({@link ImmutableTags.turn}).
   * @returns those that were removed
   * @throws {OciError} DENIED when this node is no seed for the repository
   */
  async untagged(repository: Repository, choose: () => Promise<readonly Digest[]>): Promise<Digest[]> {
    const { content } = this.#components
    const authority = this.requireAuthority(repository)
    return await authority.exclusively(repository, async () => {
      const removed: Digest[] = []
      for (const digest of await choose()) {
        if ((await content.tags.pointingAt(repository, digest)).length > 0) continue
        if (await dropManifest(content, repository, digest)) removed.push(digest)
      }
      return removed
    })
  }

  /** A node passed on a deletion to this seed. @throws {OciError} DENIED, UNAUTHORIZED, UNSUPPORTED */
  async take(from: string, request: DeleteRequest, caller: Caller, signal: AbortSignal): Promise<boolean> {
    const here = await this.remove(from, request, caller)
    // A tombstone spreads by itself; content is deleted where it lies, and seeds do not pass on what seeds pass on.
    const passOn = request.kind !== 'tag' && !this.#components.others.include(from, request.repository)
    return (passOn && (await this.#components.router.deleteAtOthers(request, signal))) || here
  }

  private async remove(from: string, { repository, kind, reference }: DeleteRequest, caller: Caller): Promise<boolean> {
    if (!this.#components.permitted) throw new OciError('UNSUPPORTED', 'the seed deletes nothing')
    requireOwn(this.#components.mirroredFrom?.(repository), repository)
    const authority = this.requireAuthority(repository)
    const author = { caller, node: from }
    if (kind === 'tag') return await this.removeTag(authority, repository, parseTag(reference), author)
    if (kind === 'manifest') return await this.removeManifest(authority, repository, parseDigest(reference), author)
    return await this.removeBlob(authority, repository, parseDigest(reference), caller)
  }

  private async removeTag(
    authority: TagAuthority,
    repository: Repository,
    tag: Tag,
    author: TagAuthor
  ): Promise<boolean> {
    requireDelete(author.caller, repository)
    return (await authority.remove(repository, tag, author)) !== undefined
  }

  private async removeManifest(
    authority: TagAuthority,
    repository: Repository,
    digest: Digest,
    author: TagAuthor
  ): Promise<boolean> {
    requireDelete(author.caller, repository)
    const { content, immutable } = this.#components
    return await authority.exclusively(immutable.turn(repository, digest), async () => {
      await this.requireUnneeded(repository, digest)
      for (const tag of await content.tags.pointingAt(repository, digest))
        await authority.remove(repository, tag, author, digest)
      return await dropManifest(content, repository, digest)
    })
  }

  private async removeBlob(
    authority: TagAuthority,
    repository: Repository,
    digest: Digest,
    caller: Caller
  ): Promise<boolean> {
    requireDelete(caller, repository)
    const { content, immutable } = this.#components
    return await authority.exclusively(immutable.turn(repository, digest), async () => {
      await this.requireUnneeded(repository, digest)
      return await content.repositories.unlinkBlob(repository, digest)
    })
  }

  /** What an immutable tag means can't be taken apart either. */
  private async requireUnneeded(repository: Repository, digest: Digest): Promise<void> {
    const { immutable, content } = this.#components
    const tag = await immutable.needing(content, repository, digest)
    if (tag === undefined) return
    throw new OciError('DENIED', `the image of the immutable tag ${tag} needs it: it can not be deleted`, {
      detail: { repository, tag, digest }
    })
  }

  private requireAuthority(repository: Repository): TagAuthority {
    const authority = this.authorityFor(repository)
    if (authority) return authority
    throw new OciError('DENIED', 'this node does not sign for the repository', { detail: { repository } })
  }

  private authorityFor(repository: Repository): TagAuthority | undefined {
    return this.#components.authority?.isAuthority(repository) ? this.#components.authority : undefined
  }
}

async function dropManifest(content: ContentStore, repository: Repository, digest: Digest): Promise<boolean> {
  const existed = await content.repositories.deleteManifest(repository, digest)
  await content.repositories.unlinkBlob(repository, digest)
  return existed
}

import type { ContentStore } from '@layermesh/content'
import type { Repository, Tag } from '@layermesh/oci'
import type { Caller, RegistryTags, ResolvedTag } from '@layermesh/registry'
import type { TagResolver } from '../tags/tag-resolver.ts'
import type { Deletions } from './deletions.ts'
import type { Lists } from './lists.ts'

/** Tags for clients. */
export class MeshTags implements RegistryTags {
  readonly #components: { content: ContentStore; resolver: TagResolver; lists: Lists; deletions: Deletions }

  constructor(components: { content: ContentStore; resolver: TagResolver; lists: Lists; deletions: Deletions }) {
    this.#components = components
  }

  async resolve(repository: Repository, tag: Tag): Promise<ResolvedTag | undefined> {
    const { content, resolver } = this.#components
    const resolved = await resolver.resolve(repository, tag)
    if (!resolved) return undefined
    const { digest, mediaType, size } = resolved.record
    // The signed record proves that the digest belongs to the repository, whoever brings its bytes.
    if (!(await content.repositories.hasBlob(repository, digest)))
      await content.repositories.linkBlobs(repository, [digest])
    return { digest, mediaType, size, ...(resolved.warning === undefined ? {} : { warning: resolved.warning }) }
  }

  delete(repository: Repository, tag: Tag, caller: Caller, signal: AbortSignal): Promise<boolean> {
    return this.#components.deletions.tag(repository, tag, caller, signal)
  }

  list(
    repository: Repository,
    page: { after?: string; limit: number },
    signal: AbortSignal
  ): Promise<string[] | undefined> {
    return this.#components.lists.tags(repository, page, signal)
  }
}

import type { ContentStore, TagHistoryEntry } from '@layermesh/content'
import { type Digest, OciError, type Repository, type Tag } from '@layermesh/oci'
import type { Caller } from '@layermesh/registry'
import type { ImmutableTags } from './immutable-tags.ts'
import type { TagAuthority } from './tag-authority.ts'

export interface TagHistoryComponents {
  readonly peerId: string
  readonly content: ContentStore
  /** Undefined on a node that is no seed. */
  readonly authority: TagAuthority | undefined
  readonly immutable: ImmutableTags
}

/** The operator of the node, who has its admin token. */
const OPERATOR: Caller = Object.freeze({ name: 'admin', credential: undefined, may: () => true })
const ENTRIES_SEARCHED = 10_000

/** What tags meant before, as this seed remembers it, and the way back to it. */
export class TagHistory {
  readonly #components: TagHistoryComponents

  constructor(components: TagHistoryComponents) {
    this.#components = components
  }

  /** The changes of a tag, newest first. @throws {OciError} UNSUPPORTED when this is no seed for the repository */
  async list(repository: Repository, tag: Tag, page: { before?: number; limit: number }): Promise<TagHistoryEntry[]> {
    this.authorityFor(repository)
    return await this.#components.content.tags.history(repository, tag, page)
  }

  /**
   * Has a tag mean again what it meant by the change with this sequence, or this digest, immutable or not. The history
   * must have it and the repository its manifest.
   * @throws {OciError} UNSUPPORTED when this is no seed for the repository, MANIFEST_UNKNOWN, NAME_UNKNOWN
   */
  async restore(repository: Repository, tag: Tag, to: { sequence: number } | { digest: Digest }): Promise<Digest> {
    const { content, immutable, peerId } = this.#components
    const authority = this.authorityFor(repository)
    const digest = await this.digestOf(repository, tag, to)
    await authority.exclusively(immutable.turn(repository, digest), async () => {
      const manifest = await content.repositories.manifest(repository, digest)
      if (!manifest) throw new OciError('MANIFEST_UNKNOWN', `${digest} is in ${repository} no more; push it again`)
      await authority.restore(repository, tag, manifest, { caller: OPERATOR, node: peerId })
    })
    return digest
  }

  private async digestOf(
    repository: Repository,
    tag: Tag,
    to: { sequence: number } | { digest: Digest }
  ): Promise<Digest> {
    const history = await this.#components.content.tags.history(repository, tag, { limit: ENTRIES_SEARCHED })
    if ('digest' in to) {
      if (history.some(({ digest, previous }) => digest === to.digest || previous === to.digest)) return to.digest
      throw new OciError('MANIFEST_UNKNOWN', `${repository}:${tag} has not meant ${to.digest}, as far as is remembered`)
    }
    const changes = history.filter(({ sequence }) => sequence === to.sequence)
    if (changes.length > 1)
      throw new OciError('UNSUPPORTED', `two seeds made a change ${to.sequence}; name the digest instead`)
    const [change] = changes
    if (change?.digest !== undefined) return change.digest
    const why = change ? 'deleted the tag' : 'is not remembered'
    throw new OciError(
      'MANIFEST_UNKNOWN',
      `the change ${to.sequence} of ${repository}:${tag} ${why}; the history lists others`
    )
  }

  private authorityFor(repository: Repository): TagAuthority {
    const { authority } = this.#components
    if (authority?.isAuthority(repository)) return authority
    throw new OciError('UNSUPPORTED', `this node does not sign for ${repository}: ask a seed that does (--admin URL)`)
  }
}

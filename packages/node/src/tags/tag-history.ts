import type { ContentStore, TagHistoryEntry } from '@layermesh/content'
import { type Digest, isOciError, OciError, type Repository, type Tag } from '@layermesh/oci'
import type { Caller } from '@layermesh/registry'
import { signerOf, type TrustPolicy } from '@layermesh/trust'
import type { ImmutableTags } from './immutable-tags.ts'
import type { TagAuthority } from './tag-authority.ts'

export interface TagHistoryComponents {
  readonly peerId: string
  readonly content: ContentStore
  /** Undefined on a node that is no seed. */
  readonly authority: TagAuthority | undefined
  readonly immutable: ImmutableTags
  readonly trust: Pick<TrustPolicy, 'isSigner'>
}

/** What came of bringing back what a signer had signed whom nobody trusts any more. */
export interface Recovery {
  /** How many tags mean again what they meant. */
  readonly restored: number
  /** Some of those that could not be brought back, and why. */
  readonly failed: readonly { readonly reference: string; readonly reason: string }[]
  readonly failures: number
  /** False when the time was over before all tags were looked at: go on by doing it again. */
  readonly complete: boolean
}

/** The operator of the node, who has its admin token. */
const OPERATOR: Caller = Object.freeze({ name: 'admin', credential: undefined, may: () => true })
const ENTRIES_SEARCHED = 10_000
const FAILURES_SHOWN = 100

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

  /**
   * Brings back all tags whose newest record is of a signer whom nobody trusts any more: each means again what it meant
   * before a moment, by the clock of this seed.
   * @param before in ms since 1970
   * @throws {OciError} UNSUPPORTED while the signer is trusted
   */
  async recover(signer: string, before: number, signal: AbortSignal): Promise<Recovery> {
    const { content, authority, trust } = this.#components
    if (trust.isSigner(signer))
      throw new OciError('UNSUPPORTED', `${signer} is trusted to sign; revoke it first, by a seed set`)
    let restored = 0
    const failed: { reference: string; reason: string }[] = []
    for await (const { repository, tag, envelope } of content.tags.all()) {
      if (signal.aborted)
        return { restored, failed: failed.slice(0, FAILURES_SHOWN), failures: failed.length, complete: false }
      // A mirrored tag is asked for anew at its registry.
      if (!authority?.isAuthority(repository) || authority.isMirrored(repository)) continue
      if (signerOf(envelope) !== signer) continue
      const reason = await this.bringBack(repository, tag, before)
      if (reason === undefined) restored++
      else failed.push({ reference: `${repository}:${tag}`, reason })
    }
    return { restored, failed: failed.slice(0, FAILURES_SHOWN), failures: failed.length, complete: true }
  }

  /** @returns why it was not; undefined when it was */
  private async bringBack(repository: Repository, tag: Tag, before: number): Promise<string | undefined> {
    const history = await this.#components.content.tags.history(repository, tag, { limit: ENTRIES_SEARCHED })
    const change = history.find(({ at }) => at < before)
    if (!change) return 'no change before that time is remembered'
    if (change.digest === undefined) return 'the tag was deleted at that time'
    try {
      await this.restore(repository, tag, { digest: change.digest })
      return undefined
    } catch (error) {
      if (isOciError(error)) return error.message
      throw error
    }
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

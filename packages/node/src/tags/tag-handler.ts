import type { ContentStore } from '@layermesh/content'
import type {
  AuthenticateRequest,
  DeleteRequest,
  ListAnswer,
  ListPage,
  PushRequest,
  TagAnswer,
  TagHandler
} from '@layermesh/mesh'
import { type Digest, OciError, type Repository, type Tag } from '@layermesh/oci'
import { type Caller, OPEN_CALLER, type RegistryAccess } from '@layermesh/registry'
import type { Deletions } from '../backend/deletions.ts'
import type { Lists } from '../backend/lists.ts'
import type { PushService } from '../backend/push-service.ts'
import type { SeedRouter } from '../backend/seed-router.ts'
import type { ZoneWatch } from '../distribution/zone-watch.ts'
import type { OtherSeeds } from './other-seeds.ts'
import type { TagAuthority } from './tag-authority.ts'
import type { AcceptedTag, TagRecords } from './tag-records.ts'
import type { UpstreamTags } from './upstream-tags.ts'

/** Makes tokens at a seed for the clients of other nodes. */
export interface TokenIssuer {
  /** @param from the peer that asks @throws {OciError} UNAUTHORIZED, TOOMANYREQUESTS */
  issue(request: AuthenticateRequest, from: string, signal: AbortSignal): Promise<string>
}

/** A push or deletion that a node passed on to this seed for its client. */
export interface PassedOnWrite {
  /** Peer id of the node. */
  readonly from: string
  readonly actor: string | undefined
  readonly write: { readonly push: PushRequest } | { readonly deletion: DeleteRequest }
  /** Why it was refused or failed; undefined when it was done. */
  readonly error?: unknown
}

export interface NodeTagHandlerComponents {
  readonly content: ContentStore
  readonly authority: TagAuthority | undefined
  readonly records: TagRecords
  readonly others: Pick<OtherSeeds, 'include' | 'refresh'>
  /** Asks the registries that tags are mirrored from. Undefined on a node that is no seed, and where none is mirrored. */
  readonly upstream?: Pick<UpstreamTags, 'current'> | undefined
  readonly router: SeedRouter
  readonly lists: Lists
  readonly pushes: PushService
  readonly deletions: Deletions
  /** Finds out whose requests nodes pass on; undefined where everybody may do everything. */
  readonly access: Pick<RegistryAccess, 'identify'> | undefined
  /** Undefined where clients need no credentials, and on a node that is no seed. */
  readonly tokens: TokenIssuer | undefined
  /** Undefined on a node that is no seed, and where nobody wants to know. */
  readonly zones: Pick<ZoneWatch, 'complete'> | undefined
  /** Told of each push and deletion of clients of other nodes, before the node has its answer; a failure is told to it. */
  onPassedOn?(event: PassedOnWrite): Promise<void>
}

/** A node that asks gives up soon after; it then goes on by what it knows. */
const UPSTREAM_WAIT_MS = 1_200

function answerOf(found: AcceptedTag | undefined, authoritative: boolean): TagAnswer {
  if (!found) return { confirmedAt: 0, authoritative }
  return { envelope: found.envelope, confirmedAt: found.confirmedAt, authoritative }
}

/** What this node answers peers that ask about tags: what is here, no more; only seeds ask each other on their behalf. */
export class NodeTagHandler implements TagHandler {
  readonly #components: NodeTagHandlerComponents

  constructor(components: NodeTagHandlerComponents) {
    this.#components = components
  }

  async resolve(from: string, repository: Repository, tag: Tag): Promise<TagAnswer> {
    const { authority, records, others } = this.#components
    const authoritative = authority?.isAuthority(repository) ?? false
    // Seeds that ask each other are told what is here: else each would ask the other in turn.
    if (authoritative && !others.include(from, repository)) {
      await others.refresh(repository, tag)
      const word = await this.#components.upstream?.current(repository, tag, UPSTREAM_WAIT_MS)
      // It has no say while it neither knows the tag nor heard from its registry.
      if (word) return answerOf(word.tag, word.heard || word.tag !== undefined)
    }
    const found = authoritative ? await authority?.current(repository, tag) : await records.get(repository, tag)
    return answerOf(found, authoritative)
  }

  async offer(envelope: Uint8Array, from: string): Promise<void> {
    await this.#components.records.take(envelope, from, 'signer')
  }

  async listTags(from: string, repository: Repository, page: ListPage): Promise<ListAnswer> {
    const { lists, others } = this.#components
    // Another seed wants to know what was signed here, not all that there is at a registry.
    const names = others.include(from, repository)
      ? await lists.localTags(repository, page)
      : await lists.tagsForNode(repository, page)
    return { authoritative: this.#components.router.isAuthority(repository), ...(names === undefined ? {} : { names }) }
  }

  async listRepositories(page: ListPage): Promise<ListAnswer> {
    return {
      names: await this.#components.content.repositories.list(page),
      authoritative: this.#components.authority !== undefined
    }
  }

  async listReferrers(
    repository: Repository,
    subject: Digest
  ): Promise<{ descriptors: Uint8Array; authoritative: boolean }> {
    const descriptors = await this.#components.content.repositories.referrers(repository, subject)
    return {
      descriptors: Buffer.from(JSON.stringify(descriptors)),
      authoritative: this.#components.router.isAuthority(repository)
    }
  }

  async push(from: string, push: PushRequest, signal: AbortSignal): Promise<readonly Uint8Array[]> {
    const caller = await this.identify(from, push.credential, signal)
    const event = { from, actor: caller.name, write: { push } }
    return await this.told(event, () => this.#components.pushes.takePush(from, push, caller, signal))
  }

  async authenticate(from: string, request: AuthenticateRequest, signal: AbortSignal): Promise<string> {
    const { tokens } = this.#components
    if (tokens === undefined) throw new OciError('UNSUPPORTED', 'this node makes no tokens for others')
    return await tokens.issue(request, from, signal)
  }

  async delete(from: string, target: DeleteRequest, signal: AbortSignal): Promise<boolean> {
    const caller = await this.identify(from, target.credential, signal)
    const event = { from, actor: caller.name, write: { deletion: target } }
    return await this.told(event, () => this.#components.deletions.take(from, target, caller, signal))
  }

  async complete(from: string, repository: Repository, digest: Digest): Promise<void> {
    const { zones, router } = this.#components
    if (router.isAuthority(repository)) await zones?.complete(from, repository, digest)
  }

  private async told<T>(event: PassedOnWrite, act: () => Promise<T>): Promise<T> {
    const { onPassedOn } = this.#components
    const result = await act().catch(async (error: unknown) => {
      await onPassedOn?.({ ...event, error })
      throw error
    })
    // What was not there to delete is no deletion.
    if (result !== false) await onPassedOn?.(event)
    return result
  }

  /** Whoever the credential proves it to be, whatever the node thinks; wrong ones are counted against the node. */
  private async identify(from: string, credential: string | undefined, signal: AbortSignal): Promise<Caller> {
    const { access } = this.#components
    if (!access) return OPEN_CALLER
    return await access.identify({ authorization: credential, certificate: undefined, address: from }, signal)
  }
}

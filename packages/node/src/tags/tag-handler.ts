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
import { OPEN_CALLER } from '@layermesh/registry'
import type { Lists } from '../backend/lists.ts'
import type { PushService } from '../backend/push-service.ts'
import type { SeedRouter } from '../backend/seed-router.ts'
import type { TagAuthority } from './tag-authority.ts'
import type { TagRecords } from './tag-records.ts'

/** Makes tokens at a seed for the clients of other nodes. */
export interface TokenIssuer {
  /** @param from the peer that asks @throws {OciError} UNAUTHORIZED, TOOMANYREQUESTS */
  issue(request: AuthenticateRequest, from: string, signal: AbortSignal): Promise<string>
}

export interface NodeTagHandlerComponents {
  readonly content: ContentStore
  readonly authority: TagAuthority | undefined
  readonly records: TagRecords
  readonly router: SeedRouter
  readonly lists: Lists
  readonly pushes: PushService
  /** Undefined where clients need no credentials, and on a node that is no seed. */
  readonly tokens: TokenIssuer | undefined
}

/** What this node answers peers that ask about tags: what is here, no more; it asks nobody on their behalf. */
export class NodeTagHandler implements TagHandler {
  readonly #components: NodeTagHandlerComponents

  constructor(components: NodeTagHandlerComponents) {
    this.#components = components
  }

  async resolve(repository: Repository, tag: Tag): Promise<TagAnswer> {
    const { authority, records } = this.#components
    const authoritative = authority?.isAuthority(repository) ?? false
    const found = authoritative ? await authority?.current(repository, tag) : await records.get(repository, tag)
    if (!found) return { confirmedAt: 0, authoritative }
    return { envelope: found.envelope, confirmedAt: found.confirmedAt, authoritative }
  }

  async offer(envelope: Uint8Array, from: string): Promise<void> {
    await this.#components.records.take(envelope, from, 'signer')
  }

  async listTags(repository: Repository, page: ListPage): Promise<ListAnswer> {
    const names = await this.#components.lists.localTags(repository, page)
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

  push(from: string, push: PushRequest, signal: AbortSignal): Promise<readonly Uint8Array[]> {
    return this.#components.pushes.takePush(from, push, OPEN_CALLER, signal)
  }

  async authenticate(from: string, request: AuthenticateRequest, signal: AbortSignal): Promise<string> {
    const { tokens } = this.#components
    if (tokens === undefined) throw new OciError('UNSUPPORTED', 'this node makes no tokens for others')
    return await tokens.issue(request, from, signal)
  }

  delete(_from: string, target: DeleteRequest, signal: AbortSignal): Promise<boolean> {
    return this.#components.pushes.takeDelete(target, OPEN_CALLER, signal)
  }
}

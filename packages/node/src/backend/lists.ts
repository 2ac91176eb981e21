import type { ContentStore, PageRequest } from '@layermesh/content'
import type { TagClient } from '@layermesh/mesh'
import type { Descriptor, Digest, Repository } from '@layermesh/oci'
import type { SeedRouter } from './seed-router.ts'

export interface ListsComponents {
  readonly content: ContentStore
  readonly client: TagClient
  readonly router: SeedRouter
  connected(): string[]
  seeds(): readonly string[]
}

/** Lists of tags, repositories and referrers: the seed's when it answers, else what is known here. */
export class Lists {
  readonly #components: ListsComponents

  constructor(components: ListsComponents) {
    this.#components = components
  }

  /** Undefined when the repository is not known. */
  async tags(repository: Repository, page: PageRequest, signal: AbortSignal): Promise<string[] | undefined> {
    const { client, router } = this.#components
    if (!router.isAuthority(repository)) {
      const answer = await router.ask(repository, (seed) => client.listTags(seed, repository, page, signal))
      if (answer) return answer.names && [...answer.names]
    }
    return await this.localTags(repository, page)
  }

  async localTags(repository: Repository, page: PageRequest): Promise<string[] | undefined> {
    const { tags, repositories } = this.#components.content
    const names = await tags.list(repository, page)
    return names.length > 0 || (await repositories.exists(repository)) ? names : undefined
  }

  async repositories(page: PageRequest, signal: AbortSignal): Promise<string[]> {
    const { client, content, connected, seeds } = this.#components
    const here = new Set(connected())
    for (const seed of seeds().filter((peerId) => here.has(peerId))) {
      const answer = await client.listRepositories(seed, page, signal).catch(() => undefined)
      if (answer?.names) return [...answer.names]
    }
    return await content.repositories.list(page)
  }

  async referrers(repository: Repository, subject: Digest, signal: AbortSignal): Promise<Descriptor[]> {
    const { client, content, router } = this.#components
    if (!router.isAuthority(repository)) {
      const answer = await router.ask(repository, (seed) => client.listReferrers(seed, repository, subject, signal))
      // A seed's word; what a client makes of a descriptor is checked by its digest.
      if (answer) return JSON.parse(Buffer.from(answer.descriptors).toString('utf8')) as Descriptor[]
    }
    return await content.repositories.referrers(repository, subject)
  }
}

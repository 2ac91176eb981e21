import type { ContentStore, PageRequest } from '@layermesh/content'
import type { TagClient } from '@layermesh/mesh'
import type { Descriptor, Digest, Repository } from '@layermesh/oci'
import type { SeedRouter } from './seed-router.ts'

export interface ListsComponents {
  readonly content: ContentStore
  readonly client: TagClient
  readonly router: SeedRouter
  /** Whether this node signs for any repository. */
  readonly isSeed: boolean
}

/** Lists of tags, repositories and referrers: what the seeds know that answer, else what is known here. */
export class Lists {
  readonly #components: ListsComponents

  constructor(components: ListsComponents) {
    this.#components = components
  }

  /** Undefined when the repository is not known. */
  async tags(repository: Repository, page: PageRequest, signal: AbortSignal): Promise<string[] | undefined> {
    const { client, router } = this.#components
    const answers = await router.ask(repository, (seed) => client.listTags(seed, repository, page, signal))
    const lists: (readonly string[] | undefined)[] = answers.map(({ names }) => names)
    if (answers.length === 0 || router.isAuthority(repository)) lists.push(await this.localTags(repository, page))
    const known = lists.filter((names) => names !== undefined)
    return known.length === 0 ? undefined : merge(known, page)
  }

  async localTags(repository: Repository, page: PageRequest): Promise<string[] | undefined> {
    const { tags, repositories } = this.#components.content
    const names = await tags.list(repository, page)
    return names.length > 0 || (await repositories.exists(repository)) ? names : undefined
  }

  async repositories(page: PageRequest, signal: AbortSignal): Promise<string[]> {
    const { client, content, router, isSeed } = this.#components
    const answers = await router.askAnySeed((seed) => client.listRepositories(seed, page, signal))
    const lists = answers.flatMap(({ names }) => (names === undefined ? [] : [names]))
    if (lists.length === 0 || isSeed) lists.push(await content.repositories.list(page))
    return merge(lists, page)
  }

  async referrers(repository: Repository, subject: Digest, signal: AbortSignal): Promise<Descriptor[]> {
    const { client, content, router } = this.#components
    const answers = await router.ask(repository, (seed) => client.listReferrers(seed, repository, subject, signal))
    // A seed's word; what a client makes of a descriptor is checked by its digest.
    const lists = answers.map(
      ({ descriptors }) => JSON.parse(Buffer.from(descriptors).toString('utf8')) as Descriptor[]
    )
    if (answers.length === 0 || router.isAuthority(repository))
      lists.push(await content.repositories.referrers(repository, subject))
    const byDigest = new Map(lists.flat().map((descriptor) => [descriptor.digest, descriptor]))
    return [...byDigest.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1))
  }
}

/** The page of all lists together, of each of which the same page is given. */
function merge(lists: readonly (readonly string[])[], { limit }: PageRequest): string[] {
  return [...new Set(lists.flat())].sort().slice(0, limit)
}

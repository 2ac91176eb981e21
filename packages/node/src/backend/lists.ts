import type { ContentStore, PageRequest } from '@layermesh/content'
import type { TagClient } from '@layermesh/mesh'
import { type Descriptor, type Digest, type Repository, registryHostOf } from '@layermesh/oci'
import type { MirroredLists } from '../mirror/mirrored-lists.ts'
import type { SeedRouter } from './seed-router.ts'

export interface ListsComponents {
  readonly content: ContentStore
  readonly client: TagClient
  readonly router: SeedRouter
  /** Whether this node signs for any repository. */
  readonly isSeed: boolean
  /** Undefined when no other registry is mirrored. */
  readonly mirrored?: MirroredLists | undefined
}

/** Lists of tags, repositories and referrers: what the seeds know that answer, else what is known here. */
export class Lists {
  readonly #components: ListsComponents

  constructor(components: ListsComponents) {
    this.#components = components
  }

  /** Undefined when the repository is not known. */
  async tags(repository: Repository, page: PageRequest, signal: AbortSignal): Promise<string[] | undefined> {
    const { client, router, mirrored } = this.#components
    if (mirrored?.covers(repository)) {
      const tags = await mirrored.tags(repository, page)
      if (tags || router.isAuthority(repository)) return tags
      const known = await router.ask(repository, (seed) => client.listTags(seed, repository, page, signal))
      return known.find(({ names }) => names !== undefined)?.names?.slice(0, page.limit)
    }
    const answers = await router.ask(repository, (seed) => client.listTags(seed, repository, page, signal))
    const lists: (readonly string[] | undefined)[] = answers.map(({ names }) => names)
    if (answers.length === 0 || router.isAuthority(repository)) lists.push(await this.localTags(repository, page))
    const known = lists.filter((names) => names !== undefined)
    return known.length === 0 ? undefined : merge(known, page)
  }

  /** What a node that is no seed for the repository is told of its tags: of a mirrored one, those at its registry. */
  async tagsForNode(repository: Repository, page: PageRequest): Promise<string[] | undefined> {
    const { mirrored } = this.#components
    return mirrored?.covers(repository) ? await mirrored.tags(repository, page) : await this.localTags(repository, page)
  }

  async localTags(repository: Repository, page: PageRequest): Promise<string[] | undefined> {
    const { tags, repositories } = this.#components.content
    const names = await tags.list(repository, page)
    return names.length > 0 || (await repositories.exists(repository)) ? names : undefined
  }

  /** The mesh's own repositories. */
  async repositories(page: PageRequest, signal: AbortSignal): Promise<string[]> {
    const own: string[] = []
    for (let after = page.after; own.length < page.limit; ) {
      const names = await this.allRepositories({ ...page, ...(after === undefined ? {} : { after }) }, signal)
      own.push(...names.filter((name) => registryHostOf(name as Repository) === undefined))
      if (names.length < page.limit) break
      after = names.at(-1)
    }
    return own.slice(0, page.limit)
  }

  private async allRepositories(page: PageRequest, signal: AbortSignal): Promise<string[]> {
    const { client, content, router, isSeed } = this.#components
    const answers = await router.askAnySeed((seed) => client.listRepositories(seed, page, signal))
    const lists = answers.flatMap(({ names }) => (names === undefined ? [] : [names]))
    if (lists.length === 0 || isSeed) lists.push(await content.repositories.list(page))
    return merge(lists, page)
  }

  async referrers(repository: Repository, subject: Digest, signal: AbortSignal): Promise<Descriptor[]> {
    const { client, content, router, mirrored } = this.#components
    const atRegistry = mirrored?.covers(repository) ? await mirrored.referrers(repository, subject) : undefined
    const answers = atRegistry
      ? []
      : await router.ask(repository, (seed) => client.listReferrers(seed, repository, subject, signal))
    // A seed's word; what a client makes of a descriptor is checked by its digest.
    const lists = answers.map(
      ({ descriptors }) => JSON.parse(Buffer.from(descriptors).toString('utf8')) as Descriptor[]
    )
    if (atRegistry) lists.push([...atRegistry])
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

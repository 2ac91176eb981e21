import {
  type Descriptor,
  type Digest,
  digestAlgorithm,
  digestHex,
  isOciError,
  parseManifest,
  parseTag
} from '@layermesh/oci'
import { UpstreamError } from '../errors.ts'
import type { UpstreamRequest } from '../interfaces.ts'
import type { UpstreamManifests } from './manifests.ts'
import { nextPage } from './pages.ts'
import type { Requests } from './requests.ts'

export interface UpstreamListsComponents {
  readonly requests: Requests
  readonly manifests: UpstreamManifests
}

const MAX_LIST_BYTES = 4 * 1024 * 1024
const MAX_PAGES = 50
const MAX_REFERRERS = 10_000

/** What a registry lists. */
export class UpstreamLists {
  readonly #components: UpstreamListsComponents
  readonly #registry: string

  /** @param registry for messages */
  constructor(components: UpstreamListsComponents, registry: string) {
    this.#components = components
    this.#registry = registry
  }

  /**
   * By the referrers API; a registry that answers 404 to that has a tag named after the subject, or nothing
   * (distribution-spec §Listing Referrers).
   * @throws {UpstreamError}
   */
  async referrers(name: string, subject: Digest, request: UpstreamRequest): Promise<Descriptor[] | undefined> {
    const descriptors: Descriptor[] = []
    let query = ''
    for (let page = 0; page < MAX_PAGES && descriptors.length < MAX_REFERRERS; page++) {
      const answer = await this.#ask(name, `referrers/${subject}${query}`, request)
      if (answer === undefined) return page === 0 ? await this.#fallback(name, subject, request) : descriptors
      descriptors.push(...this.#descriptorsOf(answer.bytes))
      const next = nextPage(answer.headers)
      if (next === undefined) break
      query = next
    }
    return descriptors.slice(0, MAX_REFERRERS)
  }

  /** @throws {UpstreamError} */
  async tags(
    name: string,
    { after, limit }: { readonly after?: string; readonly limit: number },
    request: UpstreamRequest
  ): Promise<string[] | undefined> {
    const tags: string[] = []
    let query = `?${new URLSearchParams({ n: String(limit), ...(after === undefined ? {} : { last: after }) })}`
    for (let page = 0; page < MAX_PAGES && tags.length < limit; page++) {
      const answer = await this.#ask(name, `tags/list${query}`, request)
      if (answer === undefined) return page === 0 ? undefined : tags
      const all = this.#tagsOf(answer.bytes)
      // A registry that knows no pages lists from the start.
      tags.push(...all.slice(after === undefined ? 0 : all.indexOf(after) + 1))
      const next = nextPage(answer.headers)
      if (next === undefined) break
      query = next
    }
    return tags.slice(0, limit)
  }

  #ask(name: string, path: string, request: UpstreamRequest) {
    const headers = { accept: 'application/json, application/vnd.oci.image.index.v1+json' }
    const question = { method: 'GET', kind: 'list', name, path, headers } as const
    return this.#components.requests.askForBytes(question, request, MAX_LIST_BYTES)
  }

  async #fallback(name: string, subject: Digest, request: UpstreamRequest): Promise<Descriptor[] | undefined> {
    const tag = `${digestAlgorithm(subject)}-${digestHex(subject)}`
    const manifest = await this.#components.manifests.get(name, tag, request)
    return manifest && [...this.#descriptorsOf(manifest.bytes)]
  }

  #descriptorsOf(bytes: Uint8Array): readonly Descriptor[] {
    try {
      const index = parseManifest(bytes)
      if (index.kind === 'index') return index.manifests
    } catch (error) {
      if (!isOciError(error)) throw error
    }
    throw this.#malformed('gave a list of referrers that is no index')
  }

  #tagsOf(bytes: Buffer): string[] {
    const tags = tagsIn(bytes)
    if (tags === undefined) throw this.#malformed('gave a list of tags that can not be read')
    return tags
  }

  #malformed(message: string): UpstreamError {
    return new UpstreamError('MALFORMED', this.#registry, `${this.#registry} ${message}`)
  }
}

/** What has no tags may have null in place of a list. */
function tagsIn(bytes: Buffer): string[] | undefined {
  try {
    const { tags } = JSON.parse(bytes.toString('utf8')) as { readonly tags?: unknown }
    return Array.isArray(tags) ? tags.filter(isTag) : tags === null ? [] : undefined
  } catch {
    return undefined
  }
}

function isTag(text: unknown): text is string {
  try {
    return typeof text === 'string' && parseTag(text) === text
  } catch {
    return false
  }
}

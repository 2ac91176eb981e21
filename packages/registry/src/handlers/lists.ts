import { OciError, type Repository } from '@layermesh/oci'
import type { Seal } from '../access/seal.ts'
import { sendJson } from '../answer.ts'
import { type Exchange, locate, type RepositoryExchange, type Services } from '../exchange.ts'
import type { Caller } from '../interfaces.ts'
import { type PageRequest, readPage, setNextLink } from '../paging.ts'
import { formatQuery } from '../query.ts'

/** GET /v2/NAME/tags/list (distribution-spec §Listing Tags) */
export async function listTags(services: Services, exchange: RepositoryExchange): Promise<void> {
  const { repository, name, query, response, signal } = exchange
  const page = readPage(query, services.options.maxPageSize)
  const found = await services.backend.tags.list(repository, withOneMore(page), signal)
  if (found === undefined) throw unknownRepository(repository)
  const { entries, last } = cut(found, page)
  if (last !== undefined) setNextLink(response, locate(exchange, 'tags/list', { n: page.limit, last }))
  sendJson(response, { name, tags: entries })
}

/** GET /v2/_catalog: the repositories that the caller may see. */
export async function listRepositories(services: Services, exchange: Exchange): Promise<void> {
  const { request, target, caller, query, response } = exchange
  const page = readPage(query, services.options.maxPageSize)
  const { entries, last } = services.guard.isOpen
    ? cut(await services.backend.catalog(withOneMore(page), exchange.signal), page)
    : await visibleRepositories(services, exchange, page)
  if (entries.length === 0 && last === undefined) services.guard.requireProof(request, target, caller)
  if (last !== undefined) setNextLink(response, `/v2/_catalog${formatQuery({ n: page.limit, last })}`)
  sendJson(response, { repositories: entries })
}

/** Before a position that is no name to be shown; no repository's name has it. */
const HIDDEN = '~'

/**
 * Fills a page with what the caller may see, looking through so many repositories at most. A page that is not full by
 * then goes on after the last that was looked at, whose name the caller must not learn: it is told in encrypted form.
 */
async function visibleRepositories(
  { backend, seal, options }: Services,
  { caller, signal }: Exchange,
  page: PageRequest
): Promise<{ entries: readonly string[]; last?: string }> {
  const entries: string[] = []
  if (page.limit === 0) return { entries }
  let after = page.after?.startsWith(HIDDEN) ? revealed(seal, page.after) : page.after
  for (let left = options.maxCatalogScan; left > 0; ) {
    const limit = Math.min(left, options.maxPageSize)
    const names = await backend.catalog({ ...(after === undefined ? {} : { after }), limit }, signal)
    for (const name of names) {
      const last = entries.at(-1)
      if (!isListed(caller, name as Repository)) continue
      if (last !== undefined && entries.length === page.limit) return { entries, last }
      entries.push(name)
    }
    if (names.length < limit) return { entries }
    after = names.at(-1)
    left -= names.length
  }
  return after === undefined ? { entries } : { entries, last: HIDDEN + seal.hide(after) }
}

function isListed(caller: Caller, repository: Repository): boolean {
  return caller.maySee?.(repository) ?? caller.may('pull', repository)
}

function revealed(seal: Seal, hidden: string): string {
  const name = seal.reveal(hidden.slice(HIDDEN.length))
  if (name !== undefined) return name
  throw new OciError('NAME_INVALID', 'last is no position that this registry gave; list from the start')
}

/** One entry beyond the page tells whether there is another page. */
function withOneMore(page: PageRequest): PageRequest {
  return { ...page, limit: page.limit + 1 }
}

/** The entries of the page, with the last of them when more follow. An empty page leads nowhere. */
function cut(found: readonly string[], { limit }: PageRequest): { entries: readonly string[]; last?: string } {
  const entries = found.slice(0, limit)
  const last = entries.at(-1)
  return found.length > limit && last !== undefined ? { entries, last } : { entries }
}

function unknownRepository(repository: Repository): OciError {
  return new OciError('NAME_UNKNOWN', 'the repository is not known here', { detail: { name: repository } })
}

import { OciError, type Repository } from '@layermesh/oci'
import { sendJson } from '../answer.ts'
import { type Exchange, locate, type RepositoryExchange, type Services } from '../exchange.ts'
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

/** GET /v2/_catalog */
export async function listRepositories(services: Services, exchange: Exchange): Promise<void> {
  const { query, response, signal } = exchange
  const page = readPage(query, services.options.maxPageSize)
  const found = await services.backend.catalog(withOneMore(page), signal)
  const { entries, last } = cut(found, page)
  if (last !== undefined) setNextLink(response, `/v2/_catalog${formatQuery({ n: page.limit, last })}`)
  sendJson(response, { repositories: entries })
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

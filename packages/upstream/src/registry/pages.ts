import type { AnswerHeaders } from '../http/answer.ts'

const LINK_NEXT = /<([^<>]{1,8192})>[^<>,]*;[ \t]*rel="?next"?/i

/**
 * The query of the next page that a `Link` header names (RFC 8288, distribution-spec §Pagination); undefined when there is
 * none. Of the URL the query alone counts, so that it can lead nowhere else.
 */
export function nextPage(headers: AnswerHeaders): string | undefined {
  const [, target] = LINK_NEXT.exec(headers.get('link') ?? '') ?? []
  const search = target === undefined ? undefined : URL.parse(target, 'https://registry.invalid/')?.search
  return search === undefined || search === '' ? undefined : search
}

import type { ServerResponse } from 'node:http'
import { OciError } from '@layermesh/oci'
import type { Query } from './query.ts'

/** What a client asks of a list: at most `limit` entries that sort after `after`. */
export interface PageRequest {
  readonly after?: string
  readonly limit: number
}

const NUMBER = /^\d+$/

/** Reads `n` and `last`. A larger `n` than `maxPageSize` is cut to it. @throws {OciError} PAGINATION_NUMBER_INVALID */
export function readPage(query: Query, maxPageSize: number): PageRequest {
  const n = query.get('n')
  const after = query.get('last')
  if (n !== undefined && !NUMBER.test(n)) {
    throw new OciError('PAGINATION_NUMBER_INVALID', 'n must be a whole number, 0 or more', {
      detail: { n: n.slice(0, 100) }
    })
  }
  const limit = Math.min(n === undefined ? maxPageSize : Number(n), maxPageSize)
  return after === undefined || after === '' ? { limit } : { limit, after }
}

/** Tells the client where the next page is (RFC 8288). */
export function setNextLink(response: ServerResponse, target: string): void {
  response.setHeader('Link', `<${target}>; rel="next"`)
}

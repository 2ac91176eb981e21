import type { AnswerHeaders } from '../http/answer.ts'

const SECONDS = /^[0-9]{1,9}$/
/** An HTTP date, roughly; Date.parse takes much that is none. */
const DATE = /^[A-Z][a-z]{2,8}, .{8,40} GMT$/
/** `100;w=21600`: so many in a window of so many seconds (https://docs.docker.com/docker-hub/usage/pulls/). */
const QUOTA = /^([0-9]{1,9})(?:;|,|$)/

/** What a registry tells of its rate limit. */
export interface RateLimit {
  /** Requests in a window. */
  readonly limit: number | undefined
  /** Requests that are left of them. */
  readonly remaining: number
}

/** Reads `ratelimit-limit` and `ratelimit-remaining`; undefined where there is no limit. */
export function readRateLimit(headers: AnswerHeaders): RateLimit | undefined {
  const remaining = readQuota(headers.get('ratelimit-remaining'))
  return remaining === undefined ? undefined : { remaining, limit: readQuota(headers.get('ratelimit-limit')) }
}

function readQuota(field: string | undefined): number | undefined {
  const [, digits] = QUOTA.exec(field ?? '') ?? []
  return digits === undefined ? undefined : Number(digits)
}

/** How long a registry asks to be left alone, in ms; undefined when it does not say (RFC 9110 §10.2.3). */
export function readRetryAfter(headers: AnswerHeaders, nowMs: number): number | undefined {
  const field = headers.get('retry-after')
  if (field === undefined) return undefined
  if (SECONDS.test(field)) return Number(field) * 1000
  const at = DATE.test(field) ? Date.parse(field) : Number.NaN
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs)
}

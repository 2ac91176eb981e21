import type { AnswerHeaders } from '../http/answer.ts'

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

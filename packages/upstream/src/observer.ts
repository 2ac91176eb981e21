import type { UpstreamErrorCode } from './errors.ts'

/** How a question to a registry went: it gave something, it has no such thing, or it failed. */
export const REQUEST_OUTCOMES = [
  'ok',
  'missing',
  'unreachable',
  'unavailable',
  'rate_limited',
  'unauthorized',
  'denied',
  'unsafe',
  'malformed',
  'credentials_unavailable'
] as const

export type RequestOutcome = (typeof REQUEST_OUTCOMES)[number]

/** The name under which registries are counted that the operator did not list. */
export const OTHER_REGISTRIES = 'other'

/** Told of what is asked of registries, for metrics. */
export interface UpstreamObserver {
  /** @param registry as repositories name it; {@link OTHER_REGISTRIES} for one that is not listed */
  asked(registry: string, outcome: RequestOutcome): void
  /** What a registry tells of the rate limit of this node. */
  rateLimit(registry: string, told: { readonly limit: number | undefined; readonly remaining: number }): void
}

export function outcomeOf(code: UpstreamErrorCode): RequestOutcome {
  return code.toLowerCase() as Lowercase<UpstreamErrorCode>
}

import type { UpstreamLimits } from '../limits.ts'
import { LeftAlone } from './left-alone.ts'

export interface PausesComponents {
  readonly log: {
    debug(fields: object, message: string): void
    info(fields: object, message: string): void
    warn(fields: object, message: string): void
  }
  /** Milliseconds of a clock that never goes back. */
  now(): number
}

type Options<Names extends keyof UpstreamLimits> = Pick<UpstreamLimits, Names> & { readonly registry: string }

/** Leaves origins alone that could not be reached; told once, not for each request. */
export function pauseForUnreachable(
  { log, now }: PausesComponents,
  { registry, unreachablePauseMs, maxUnreachablePauseMs }: Options<'unreachablePauseMs' | 'maxUnreachablePauseMs'>
): LeftAlone {
  return new LeftAlone(
    {
      now,
      onLeft: (origin, forMs, reason) =>
        log.warn({ registry, origin, forMs, reason }, 'a registry can not be reached; leaving it alone'),
      onTaken: (origin) => log.info({ registry, origin }, 'a registry can be reached again')
    },
    { pauseMs: unreachablePauseMs, maxPauseMs: maxUnreachablePauseMs }
  )
}

/** What is asked of a registry, and on whose account, as a key for {@link pauseForRateLimit}. */
export function rateLimitKey(what: string, account: { readonly own: boolean; readonly name: string }): string {
  return `${account.own ? OWN : ''}${what} ${account.name}`
}

const OWN = 'own '

/** Leaves a registry alone that answers 429; of accounts of clients, of which there may be many, little is said. */
export function pauseForRateLimit(
  { log, now }: PausesComponents,
  { registry, rateLimitPauseMs, maxRateLimitPauseMs }: Options<'rateLimitPauseMs' | 'maxRateLimitPauseMs'>
): LeftAlone {
  return new LeftAlone(
    {
      now,
      onLeft: (key, forMs) => {
        const level = key.startsWith(OWN) ? 'warn' : 'debug'
        log[level]({ registry, forMs }, 'a registry answers too many requests no more; leaving it alone')
      },
      onTaken: (key) => log[key.startsWith(OWN) ? 'info' : 'debug']({ registry }, 'a registry answers again')
    },
    { pauseMs: rateLimitPauseMs, maxPauseMs: maxRateLimitPauseMs }
  )
}

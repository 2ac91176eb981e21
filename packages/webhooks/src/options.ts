import type { BackOffOptions } from './delivery/back-off.ts'
import type { OutboxOptions } from './outbox/outbox.ts'

/** All bounds of the webhooks. */
export interface WebhookBounds extends OutboxOptions {
  /** Attempts that are remembered for `webhook list`, of each endpoint. */
  readonly maxAttemptsShown: number
  /** Events given up that are shown, of each endpoint. */
  readonly maxDeadShown: number
  readonly backOff: BackOffOptions
}

const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const MIB = 1024 * 1024

export const WEBHOOK_DEFAULTS: WebhookBounds = Object.freeze({
  maxCount: 10_000,
  maxBytes: 32 * MIB,
  maxDead: 1_000,
  maxAgeMs: 72 * HOUR_MS,
  maxWaitingChanges: 1_000,
  maxAttemptsShown: 20,
  maxDeadShown: 20,
  backOff: Object.freeze({ baseMs: SECOND_MS, capMs: 5 * MINUTE_MS, maxRetryAfterMs: HOUR_MS })
})

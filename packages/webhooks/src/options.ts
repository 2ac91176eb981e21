import type { BackOffOptions } from './delivery/back-off.ts'
import type { OutboxOptions } from './outbox/outbox.ts'

const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const MIB = 1024 * 1024

/** All bounds of the webhooks. */
export const WEBHOOK_DEFAULTS = Object.freeze({
  /** Events that wait for one endpoint. */
  maxCount: 10_000,
  /** Their length, in bytes of the disk. */
  maxBytes: 32 * MIB,
  /** Events of one endpoint that were given up and can be delivered again by command. */
  maxDead: 1_000,
  /** After so long an event is given up by the next failure of its endpoint. */
  maxAgeMs: 72 * HOUR_MS,
  /** Changes that wait for the disk; while there are more, pulls are not recorded. */
  maxWaitingChanges: 1_000,
  /** Attempts that are remembered for `webhook list`, of each endpoint. */
  maxAttemptsShown: 20,
  /** Events given up that are shown, of each endpoint. */
  maxDeadShown: 20,
  backOff: Object.freeze({ baseMs: SECOND_MS, capMs: 5 * MINUTE_MS, maxRetryAfterMs: HOUR_MS }) satisfies BackOffOptions
}) satisfies OutboxOptions & Record<string, unknown>

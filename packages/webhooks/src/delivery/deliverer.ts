import { unlessAborted } from '@layermesh/oci'
import { isWebhookError, WebhookError } from '../errors.ts'
import type { RecordedEvent } from '../events.ts'
import type { Message } from '../formats/message.ts'
import type { EndpointOutbox } from '../outbox/endpoint-outbox.ts'
import type { Row } from '../outbox/row.ts'
import { type BackOffOptions, backOffMs } from './back-off.ts'
import type { Sender } from './sender.ts'

/** One attempt to deliver an event. */
export interface Attempt {
  readonly id: string
  readonly event: string
  /** RFC 3339. */
  readonly at: string
  readonly durationMs: number
  /** HTTP status, when there was an answer. */
  readonly status?: number
  /** Why it failed; undefined when it did not. */
  readonly error?: string
}

export interface DelivererComponents {
  readonly outbox: EndpointOutbox
  readonly sender: Sender
  format(event: RecordedEvent): Message
  /** Milliseconds since 1970. */
  now(): number
  /** Resolves after `ms`, or rejects when `signal` aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<unknown>
  /** In [0, 1). */
  random(): number
  onAttempt(attempt: Attempt): void
  /** An event was given up. */
  onDead(event: RecordedEvent, lastError: string): void
  /** The outbox could not be read or written; the deliverer goes on. */
  onTrouble(error: unknown): void
}

export interface DelivererOptions {
  /** Times that the receiver may refuse an event; while it is away, only its age counts. */
  readonly maxAttempts: number
  readonly maxAgeMs: number
  readonly backOff: BackOffOptions
}

const AFTER_TROUBLE_MS = 1_000
/** What a receiver answers that is there, but can not take anything (RFC 9110 §15.6, RFC 6585 §4), or whose proxy does. */
const OUTAGES: ReadonlySet<number> = new Set([429, 502, 503, 504])

/**
 * Delivers the events of one endpoint, one after the other in their order: while one is tried again those behind it wait.
 * Each failure in a row doubles the time until the next attempt.
 */
export class Deliverer {
  readonly #components: DelivererComponents
  readonly #options: DelivererOptions
  readonly #stopping = new AbortController()
  readonly #breakOff = new AbortController()
  #ended: Promise<void> | undefined
  #failures = 0
  #notBefore = 0
  #hurry = new AbortController()

  constructor(components: DelivererComponents, options: DelivererOptions) {
    this.#components = components
    this.#options = options
  }

  start(): void {
    this.#ended ??= this.#run()
  }

  /** Begins no other delivery. The one that is going on may end until `signal` aborts; after that it counts as not done. */
  async stop(signal: AbortSignal): Promise<void> {
    this.#stopping.abort()
    this.#hurry.abort()
    const breakOff = () => this.#breakOff.abort()
    signal.addEventListener('abort', breakOff, { once: true })
    if (signal.aborted) breakOff()
    await this.#ended
    signal.removeEventListener('abort', breakOff)
    this.#components.sender.close()
  }

  /** Failures in a row. */
  get failures(): number {
    return this.#failures
  }

  /** When the next attempt is due, in ms since 1970; undefined when nothing stands against it. */
  get nextAttemptAt(): number | undefined {
    return this.#notBefore > this.#components.now() ? this.#notBefore : undefined
  }

  /** Has the next attempt come at once. */
  hurry(): void {
    this.#notBefore = 0
    this.#failures = 0
    this.#hurry.abort()
    this.#hurry = new AbortController()
  }

  async #run(): Promise<void> {
    const { outbox, onTrouble } = this.#components
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#pause(this.#notBefore - this.#components.now())
        const row = await outbox.next()
        if (row !== undefined) await this.#deliver(row)
        else await unlessAborted(outbox.changed(), this.#stopping.signal)
      } catch (error) {
        if (this.#stopping.signal.aborted) return
        onTrouble(error)
        await this.#pause(AFTER_TROUBLE_MS)
      }
    }
  }

  async #pause(ms: number): Promise<void> {
    if (ms <= 0) return
    await this.#components.sleep(ms, this.#hurry.signal).catch(() => {})
  }

  async #deliver(row: Row): Promise<void> {
    const { outbox, sender, format, now, onAttempt } = this.#components
    const { event } = row
    const startedAt = now()
    const attempt = { id: event.id, event: event.name, at: new Date(startedAt).toISOString() }
    try {
      const status = await sender.send(format(event), this.#breakOff.signal)
      onAttempt({ ...attempt, durationMs: now() - startedAt, status })
    } catch (error) {
      if (isWebhookError(error, 'CLOSED')) return
      const failure = isWebhookError(error)
        ? error
        : new WebhookError('UNREACHABLE', 'the delivery failed', { cause: error })
      const { message, status } = failure
      onAttempt({
        ...attempt,
        durationMs: now() - startedAt,
        ...(status === undefined ? {} : { status }),
        error: message
      })
      const refusals = (row.refusals ?? 0) + (isOutage(failure) ? 0 : 1)
      await this.#failed({ ...row, attempts: row.attempts + 1, refusals, lastError: message }, failure)
      return
    }
    this.#failures = 0
    this.#notBefore = 0
    await outbox.delivered(row)
  }

  async #failed(row: Row, { retryAfterMs, message }: WebhookError): Promise<void> {
    const { outbox, now, random } = this.#components
    const { maxAttempts, maxAgeMs, backOff } = this.#options
    this.#failures++
    this.#notBefore = now() + backOffMs(this.#failures, retryAfterMs, random, backOff)
    if ((row.refusals ?? 0) < maxAttempts && !isOld(row, now() - maxAgeMs)) return await outbox.failed(row)
    await this.#bury(row, message)
    // Those behind it that are too old as well would each take a long back-off of their own.
    for (
      let next = await outbox.next();
      next !== undefined && isOld(next, now() - maxAgeMs) && !this.#stopping.signal.aborted;
      next = await outbox.next()
    ) {
      await this.#bury({ ...next, lastError: message }, message)
    }
  }

  async #bury(row: Row, message: string): Promise<void> {
    const { outbox, now, onDead } = this.#components
    await outbox.bury({ ...row, diedAt: new Date(now()).toISOString() })
    onDead(row.event, message)
  }
}

function isOutage({ status }: WebhookError): boolean {
  return status === undefined || OUTAGES.has(status)
}

function isOld({ event }: Row, before: number): boolean {
  return Date.parse(event.time) < before
}

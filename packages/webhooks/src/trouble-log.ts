import type { RecordedEvent } from './events.ts'
import type { DropReason } from './outbox/endpoint-outbox.ts'

type LogMethod = (fields: Readonly<Record<string, unknown>>, message: string) => void

/** Where webhooks write their log; pino fits as it is. */
export interface WebhookLog {
  readonly debug: LogMethod
  readonly info: LogMethod
  readonly warn: LogMethod
  readonly error: LogMethod
}

const DROPS_EVERY_MS = 60_000

/** What the log tells of one endpoint: when it begins to fail and when it is well again, not each failure in between. */
export class TroubleLog {
  readonly #log: WebhookLog
  readonly #webhook: string
  readonly #now: () => number
  #isFailing = false
  #dropped = 0
  #droppedToldAt = Number.NEGATIVE_INFINITY

  /** @param now in ms since 1970 */
  constructor(log: WebhookLog, webhook: string, now: () => number) {
    this.#log = log
    this.#webhook = webhook
    this.#now = now
  }

  failed(error: string): void {
    const fields = { webhook: this.#webhook, reason: error }
    if (this.#isFailing) this.#log.debug(fields, 'a webhook could not be delivered again')
    else this.#log.warn(fields, 'a webhook could not be delivered; trying again, and others wait behind it')
    this.#isFailing = true
  }

  delivered(): void {
    if (this.#isFailing) this.#log.info({ webhook: this.#webhook }, 'webhooks are delivered again')
    this.#isFailing = false
  }

  dead({ id, name }: RecordedEvent, reason: string): void {
    const fields = { webhook: this.#webhook, id, event: name, reason }
    this.#log.error(fields, 'gave up a webhook; once its receiver is well: layermesh webhook redeliver NAME --dead')
  }

  dropped(reason: DropReason, count: number): void {
    this.#dropped += count
    if (this.#now() - this.#droppedToldAt < DROPS_EVERY_MS) return
    this.#log.error(
      { webhook: this.#webhook, reason, dropped: this.#dropped },
      'dropped webhooks for which there was no room; their receiver takes too few'
    )
    this.#dropped = 0
    this.#droppedToldAt = this.#now()
  }
}

import { setTimeout as sleep } from 'node:timers/promises'
import { type Resolve, resolveBySystem } from './delivery/addresses.ts'
import { checkFiles, createSender } from './delivery/create-sender.ts'
import { type Attempt, Deliverer } from './delivery/deliverer.ts'
import type { Sender } from './delivery/sender.ts'
import { asksFor, type Endpoint, wants } from './endpoint.ts'
import { isWebhookError, WebhookError } from './errors.ts'
import { EVENTS, type EventName, type WebhookEvent } from './events.ts'
import { formatEvent } from './formats/format-event.ts'
import type { Format, FormatContext } from './formats/message.ts'
import { WEBHOOK_DEFAULTS, type WebhookBounds } from './options.ts'
import { OutboxDatabase } from './outbox/database.ts'
import type { DeadLetter, DropReason, EndpointOutbox } from './outbox/endpoint-outbox.ts'
import { Outbox } from './outbox/outbox.ts'
import { TroubleLog, type WebhookLog } from './trouble-log.ts'

/** Told of what happens to events, for metrics. */
export interface WebhookObserver {
  delivered(endpoint: string): void
  failed(endpoint: string): void
  dead(endpoint: string): void
  dropped(endpoint: string, reason: DropReason, count: number): void
}

export interface WebhooksComponents {
  readonly log: WebhookLog
  readonly observer: WebhookObserver
  /** What the formats tell of this node, once the registry listens. */
  context(): FormatContext
  /** @default as the system resolves names */
  readonly resolve?: Resolve
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number
  /** In [0, 1). @default Math.random */
  readonly random?: () => number
  /** @default setTimeout of node:timers/promises */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<unknown>
}

export interface WebhooksOptions extends Partial<WebhookBounds> {
  /** Of the outbox. */
  readonly directory: string
  readonly endpoints: readonly Endpoint[]
  readonly userAgent: string
}

/** How an endpoint is doing. */
export interface EndpointState {
  readonly name: string
  /** Of its URL only scheme, host and port: what follows may be a secret. */
  readonly origin: string
  readonly format: Format
  /** Failing: the last attempt failed, and another one follows. */
  readonly state: 'idle' | 'delivering' | 'failing'
  /** Events that wait for their delivery. */
  readonly pending: number
  readonly pendingBytes: number
  /** Events that were given up and can be delivered by command. */
  readonly dead: number
  /** Why the last attempt failed; undefined when it did not. */
  readonly lastError?: string
  /** When the next attempt is due; RFC 3339. */
  readonly nextAttemptAt?: string
  /** The last attempts since the node started, newest first. */
  readonly attempts: readonly Attempt[]
  /** The events that were given up last, newest first. */
  readonly deadLetters: readonly DeadLetter[]
}

/** What a test of an endpoint gave. */
export interface TestResult {
  readonly delivered: boolean
  readonly status?: number
  readonly error?: string
  readonly durationMs: number
}

interface Running {
  readonly endpoint: Endpoint
  readonly outbox: EndpointOutbox
  readonly sender: Sender
  readonly deliverer: Deliverer
  readonly attempts: Attempt[]
}

/** Tells receivers what happened: what {@link record} has taken in is delivered, in order, or given up. */
export class Webhooks {
  readonly #components: Required<WebhooksComponents>
  readonly #options: Required<WebhooksOptions>
  readonly #database: OutboxDatabase
  readonly #outbox: Outbox
  readonly #running: ReadonlyMap<string, Running>
  readonly #logs: ReadonlyMap<string, TroubleLog>
  readonly #wanted: ReadonlySet<string>

  private constructor(
    components: Required<WebhooksComponents>,
    options: Required<WebhooksOptions>,
    { database, outbox, logs }: { database: OutboxDatabase; outbox: Outbox; logs: ReadonlyMap<string, TroubleLog> }
  ) {
    this.#components = components
    this.#options = options
    this.#database = database
    this.#outbox = outbox
    this.#logs = logs
    const names = Object.keys(EVENTS) as EventName[]
    this.#wanted = new Set(names.filter((name) => options.endpoints.some((endpoint) => asksFor(endpoint, name))))
    this.#running = new Map(options.endpoints.map((endpoint) => [endpoint.name, this.#run(endpoint)]))
  }

  /** Opens the outbox; delivers nothing yet. @throws {WebhookError} FILE_UNUSABLE, OUTBOX_IN_USE, OUTBOX_FAILED */
  static async open(given: WebhooksComponents, givenOptions: WebhooksOptions): Promise<Webhooks> {
    const components = {
      resolve: resolveBySystem,
      now: Date.now,
      random: Math.random,
      sleep: (ms: number, signal: AbortSignal) => sleep(ms, undefined, { signal }),
      ...given
    }
    const options = { ...WEBHOOK_DEFAULTS, ...givenOptions }
    const { log, observer, now, random } = components
    const names = options.endpoints.map(({ name }) => name)
    const logs = new Map(names.map((name) => [name, new TroubleLog(log, name, now)]))
    const onDropped = (name: string, reason: DropReason, count: number) => {
      observer.dropped(name, reason, count)
      logs.get(name)?.dropped(reason, count)
    }
    for (const endpoint of options.endpoints) await checkFiles(endpoint)
    const database = await OutboxDatabase.open(options.directory)
    try {
      const outbox = await Outbox.open({ database, now, random, onDropped }, options, names)
      return new Webhooks(components, options, { database, outbox, logs })
    } catch (error) {
      await database.close()
      throw error
    }
  }

  /** Begins to deliver. */
  start(): void {
    for (const { deliverer } of this.#running.values()) deliverer.start()
  }

  /** Whether any endpoint could ask for events of this name. */
  wants(name: EventName): boolean {
    return this.#wanted.has(name)
  }

  /**
   * Takes in an event for those endpoints that ask for it. Once it resolves the event is on the disk, unless it is a pull:
   * it will be delivered at least once, whatever happens to this process.
   * @throws {WebhookError} OUTBOX_FAILED, CLOSED
   */
  async record(event: WebhookEvent): Promise<void> {
    const names = this.#options.endpoints.filter((endpoint) => wants(endpoint, event)).map(({ name }) => name)
    if (names.length > 0) await this.#outbox.record(event, names)
  }

  /** Events of an endpoint that wait and that were given up, for metrics. */
  counts(): readonly { readonly endpoint: string; readonly pending: number; readonly dead: number }[] {
    return [...this.#running].map(([endpoint, { outbox }]) => ({
      endpoint,
      pending: outbox.pendingCount,
      dead: outbox.deadCount
    }))
  }

  /** How all endpoints are doing. */
  async list(): Promise<readonly EndpointState[]> {
    return await Promise.all([...this.#running.values()].map((running) => this.#stateOf(running)))
  }

  /**
   * Delivers what was given up again, in its old order and before all that waits: the event of this id, or all of them as
   * far as there is room. An event that waits for its next attempt is tried at once.
   * @returns how many events
   * @throws {WebhookError} NOT_FOUND
   */
  async redeliver(name: string, which: { readonly id: string } | 'dead'): Promise<number> {
    const { outbox, deliverer } = this.#get(name)
    const count = await outbox.revive((event) => which === 'dead' || event.id === which.id)
    if (which !== 'dead' && count === 0 && !(await outbox.isPending(which.id))) {
      throw new WebhookError('NOT_FOUND', `the webhook ${name} has no event ${which.id} that waits or was given up`)
    }
    deliverer.hurry()
    return which === 'dead' ? count : 1
  }

  /** Sends a ping past all that waits, once. @throws {WebhookError} NOT_FOUND, CLOSED */
  async test(name: string, signal: AbortSignal): Promise<TestResult> {
    const { endpoint, sender } = this.#get(name)
    const { now, context } = this.#components
    const startedAt = now()
    try {
      const ping = this.#outbox.stamp({ name: 'ping', data: {} })
      const status = await sender.send(formatEvent(ping, endpoint.format, context()), signal)
      return { delivered: true, status, durationMs: now() - startedAt }
    } catch (error) {
      if (!isWebhookError(error) || error.code === 'CLOSED') throw error
      const { status, message } = error
      const answered = status === undefined ? {} : { status }
      return { delivered: false, ...answered, error: message, durationMs: now() - startedAt }
    }
  }

  /** Ends; what was not delivered stays in the outbox. A delivery that is going on may end until `signal` aborts. */
  async stop(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#running.values()].map(({ deliverer }) => deliverer.stop(signal)))
    await this.#database.close()
  }

  #get(name: string): Running {
    const running = this.#running.get(name)
    if (running !== undefined) return running
    throw new WebhookError('NOT_FOUND', `there is no webhook ${name}; see: layermesh webhook list`)
  }

  #run(endpoint: Endpoint): Running {
    const { now, random, sleep, context, log, resolve } = this.#components
    const { backOff, maxAgeMs } = this.#options
    const outbox = this.#outbox.endpoint(endpoint.name)
    const sender = createSender(endpoint, { now, resolve, log, userAgent: this.#options.userAgent })
    const attempts: Attempt[] = []
    const deliverer = new Deliverer(
      {
        outbox,
        sender,
        now,
        random,
        sleep,
        format: (event) => formatEvent(event, endpoint.format, context()),
        onAttempt: (attempt) => this.#note(endpoint.name, attempts, attempt),
        onDead: (event, lastError) => {
          this.#components.observer.dead(endpoint.name)
          this.#logs.get(endpoint.name)?.dead(event, lastError)
        },
        onTrouble: (error) => log.error({ webhook: endpoint.name, err: error }, 'the outbox of a webhook failed')
      },
      { maxAttempts: endpoint.maxAttempts, maxAgeMs, backOff }
    )
    return { endpoint, outbox, sender, deliverer, attempts }
  }

  #note(name: string, attempts: Attempt[], attempt: Attempt): void {
    attempts.unshift(attempt)
    attempts.length = Math.min(attempts.length, this.#options.maxAttemptsShown)
    const { observer } = this.#components
    if (attempt.error === undefined) {
      observer.delivered(name)
      this.#logs.get(name)?.delivered()
    } else {
      observer.failed(name)
      this.#logs.get(name)?.failed(attempt.error)
    }
  }

  async #stateOf({ endpoint, outbox, deliverer, attempts }: Running): Promise<EndpointState> {
    const { nextAttemptAt, failures } = deliverer
    const lastError = attempts[0]?.error
    const busy = outbox.pendingCount > 0 ? 'delivering' : 'idle'
    return {
      name: endpoint.name,
      origin: new URL(endpoint.url).origin,
      format: endpoint.format,
      state: failures > 0 ? 'failing' : busy,
      pending: outbox.pendingCount,
      pendingBytes: outbox.pendingBytes,
      dead: outbox.deadCount,
      ...(lastError === undefined ? {} : { lastError }),
      ...(nextAttemptAt === undefined ? {} : { nextAttemptAt: new Date(nextAttemptAt).toISOString() }),
      attempts: [...attempts],
      deadLetters: await outbox.deadLetters(this.#options.maxDeadShown)
    }
  }
}

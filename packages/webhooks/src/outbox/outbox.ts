import { monotonicFactory, type ULIDFactory } from 'ulid'
import { definitionOf, type RecordedEvent, type WebhookEvent } from '../events.ts'
import type { Change, OutboxDatabase } from './database.ts'
import { type DropReason, EndpointOutbox, type EndpointOutboxOptions } from './endpoint-outbox.ts'
import { decodeRow, endpointOf, type RowKind, rowRange, SEQUENCE_KEY } from './row.ts'

export interface OutboxComponents {
  readonly database: OutboxDatabase
  /** Milliseconds since 1970. */
  now(): number
  /** In [0, 1). */
  random(): number
  onDropped(endpoint: string, reason: DropReason, count: number): void
}

export interface OutboxOptions extends EndpointOutboxOptions {
  /**
   * Events that are older, in ms, are given up by the next failure of their endpoint, and are no longer kept when it is not
   * configured any more.
   */
  readonly maxAgeMs: number
  /** Changes that may wait for the disk before expendable events are dropped. */
  readonly maxWaitingChanges: number
}

/** Events on the disk until each endpoint that asked for them has them. */
export class Outbox {
  readonly #components: OutboxComponents
  readonly #options: OutboxOptions
  readonly #endpoints: ReadonlyMap<string, EndpointOutbox>
  readonly #ulid: ULIDFactory
  #sequence: number

  private constructor(
    components: OutboxComponents,
    options: OutboxOptions,
    names: readonly string[],
    sequence: number
  ) {
    this.#components = components
    this.#options = options
    this.#sequence = sequence
    this.#ulid = monotonicFactory(() => components.random())
    const { database, onDropped } = components
    const create = (name: string) =>
      new EndpointOutbox({ database, onDropped: onDropped.bind(undefined, name) }, name, options)
    this.#endpoints = new Map(names.map((name) => [name, create(name)]))
  }

  /** Reads what an earlier process left. */
  static async open(components: OutboxComponents, options: OutboxOptions, names: readonly string[]): Promise<Outbox> {
    const last = await components.database.get(SEQUENCE_KEY)
    const outbox = new Outbox(components, options, names, Number(last ?? 0))
    for (const endpoint of outbox.#endpoints.values()) await endpoint.load()
    for (const kind of ['pending', 'dead'] as const) await outbox.#forgetOthers(kind)
    return outbox
  }

  /** @throws {RangeError} for a name that was not opened */
  endpoint(name: string): EndpointOutbox {
    const endpoint = this.#endpoints.get(name)
    if (endpoint === undefined) throw new RangeError(`no endpoint ${name}`)
    return endpoint
  }

  /** An event with its number, not kept anywhere. */
  stamp({ name, data }: WebhookEvent, sequence = this.#sequence): RecordedEvent {
    const now = this.#components.now()
    return { id: this.#ulid(now), sequence, name, time: new Date(now).toISOString(), data }
  }

  /**
   * Keeps an event for these endpoints; durable when it resolves, unless it is expendable.
   * @throws {WebhookError} OUTBOX_FAILED, CLOSED
   */
  async record(event: WebhookEvent, names: readonly string[]): Promise<void> {
    const { database, onDropped } = this.#components
    const expendable = definitionOf(event.name).expendable === true
    if (expendable && database.waiting > this.#options.maxWaitingChanges) {
      for (const name of names) onDropped(name, 'full', 1)
      return
    }
    const recorded = this.stamp(event, ++this.#sequence)
    const endpoints = names.map((name) => this.endpoint(name))
    const changes: Change[] = endpoints.flatMap((endpoint) => endpoint.admit(recorded))
    changes.push({ type: 'put', key: SEQUENCE_KEY, value: String(recorded.sequence) })
    const written = await database.write(changes, { durable: !expendable }).then(
      () => undefined,
      (error: unknown) => ({ error })
    )
    for (const endpoint of endpoints) endpoint.settle(recorded.sequence, written === undefined)
    if (written !== undefined) throw written.error
  }

  /** Events of endpoints that are no longer configured are kept for a while: their names may come back. */
  async #forgetOthers(kind: RowKind): Promise<void> {
    const { database, now } = this.#components
    const changes: Change[] = []
    for await (const [key, text] of database.range(rowRange(kind))) {
      const isOld = Date.parse(decodeRow(text).event.time) < now() - this.#options.maxAgeMs
      if (isOld && !this.#endpoints.has(endpointOf(key))) changes.push({ type: 'del', key })
    }
    if (changes.length > 0) await database.write(changes, { durable: false })
  }
}

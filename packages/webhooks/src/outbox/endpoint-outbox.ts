import { type RecordedEvent, subjectOf, typeOf } from '../events.ts'
import type { Change, OutboxDatabase } from './database.ts'
import { Pending, type PendingBounds, type PendingEntry } from './pending.ts'
import { decodeRow, encodeRow, entryOf, type Row, rowKey, rowRange } from './row.ts'

export interface EndpointOutboxOptions extends PendingBounds {
  /** How many events that were given up are kept; of more, the oldest are removed. */
  readonly maxDead: number
}

/** Why an event will not be delivered: no room for it, or no room among the dead any more. */
export type DropReason = 'full' | 'forgotten'

export interface EndpointOutboxComponents {
  readonly database: OutboxDatabase
  onDropped(reason: DropReason, count: number): void
}

/** An event that was given up. */
export interface DeadLetter {
  readonly id: string
  readonly type: string
  readonly subject?: string
  readonly time: string
  readonly attempts: number
  readonly lastError?: string
  readonly diedAt?: string
}

/** The outbox of one endpoint: what waits for its delivery, and what was given up. */
export class EndpointOutbox {
  readonly #database: OutboxDatabase
  readonly #name: string
  readonly #options: EndpointOutboxOptions
  readonly #onDropped: EndpointOutboxComponents['onDropped']
  readonly #pending: Pending
  /** Sequences, ascending. */
  #dead: number[] = []
  #wake = Promise.withResolvers<void>()

  constructor({ database, onDropped }: EndpointOutboxComponents, name: string, options: EndpointOutboxOptions) {
    this.#database = database
    this.#onDropped = onDropped
    this.#name = name
    this.#options = options
    this.#pending = new Pending(options)
  }

  /** Reads what an earlier process left. */
  async load(): Promise<void> {
    const entries = new Map<number, PendingEntry>()
    for await (const [, text] of this.#database.range(rowRange('pending', this.#name))) {
      const row = decodeRow(text)
      entries.set(row.event.sequence, entryOf(row, text))
    }
    const restored = new Set(this.#pending.restore(entries, true))
    const dropped = [...entries.keys()].filter((sequence) => !restored.has(sequence))
    await this.#drop('full', dropped)
    for await (const [, text] of this.#database.range(rowRange('dead', this.#name))) {
      this.#dead.push(decodeRow(text).event.sequence)
    }
  }

  get pendingCount(): number {
    return this.#pending.count
  }

  get pendingBytes(): number {
    return this.#pending.bytes
  }

  get deadCount(): number {
    return this.#dead.length
  }

  /** Takes in an event. @returns the changes that have to be written for it, after which {@link settle} is called */
  admit(event: RecordedEvent): Change[] {
    const row = { event, attempts: 0 }
    const text = encodeRow(row)
    const dropped = this.#pending.admit(event.sequence, entryOf(row, text))
    if (dropped.length > 0) this.#onDropped('full', dropped.length)
    const others = dropped.filter((sequence) => sequence !== event.sequence)
    const changes: Change[] = others.map((sequence) => ({ type: 'del', key: this.#key('pending', sequence) }))
    if (this.#pending.has(event.sequence)) {
      changes.push({ type: 'put', key: this.#key('pending', event.sequence), value: text })
    }
    return changes
  }

  /** The event is on the disk, or could not be brought there. */
  settle(sequence: number, isWritten: boolean): void {
    if (isWritten) this.#pending.written(sequence)
    else this.#pending.remove(sequence)
    this.#wake.resolve()
  }

  /** The event that is to be delivered next; undefined when there is none. */
  async next(): Promise<Row | undefined> {
    for (;;) {
      const sequence = this.#pending.take()
      if (sequence === undefined) return undefined
      const text = await this.#database.get(this.#key('pending', sequence))
      if (text !== undefined) return decodeRow(text)
      this.#pending.remove(sequence)
    }
  }

  /** Resolves when something came in since the last call of {@link next} gave nothing, perhaps too early. */
  async changed(): Promise<void> {
    await this.#wake.promise
    this.#wake = Promise.withResolvers()
  }

  /** The event was delivered. After a crash it may be delivered again, under the same id. */
  async delivered({ event }: Row): Promise<void> {
    this.#pending.remove(event.sequence)
    await this.#database.write([{ type: 'del', key: this.#key('pending', event.sequence) }], { durable: false })
  }

  /** An attempt failed; the event stays where it is. */
  async failed(row: Row): Promise<void> {
    if (!this.#pending.has(row.event.sequence)) return
    const change: Change = { type: 'put', key: this.#key('pending', row.event.sequence), value: encodeRow(row) }
    await this.#database.write([change], { durable: false })
  }

  /** Gives an event up. */
  async bury(row: Row): Promise<void> {
    const { sequence } = row.event
    this.#pending.remove(sequence)
    this.#dead = [...this.#dead, sequence].sort((a, b) => a - b)
    const forgotten = this.#dead.splice(0, Math.max(0, this.#dead.length - this.#options.maxDead))
    if (forgotten.length > 0) this.#onDropped('forgotten', forgotten.length)
    await this.#database.write(
      [
        { type: 'del', key: this.#key('pending', sequence) },
        { type: 'put', key: this.#key('dead', sequence), value: encodeRow(row) },
        ...forgotten.map((each): Change => ({ type: 'del', key: this.#key('dead', each) }))
      ],
      { durable: true }
    )
  }

  /** The events that were given up last, newest first. */
  async deadLetters(limit: number): Promise<DeadLetter[]> {
    const letters: DeadLetter[] = []
    for (const sequence of this.#dead.slice(-limit).reverse()) {
      const text = await this.#database.get(this.#key('dead', sequence))
      if (text !== undefined) letters.push(letterOf(decodeRow(text)))
    }
    return letters
  }

  /** Has events that were given up be delivered after all, as far as there is room. @returns how many */
  async revive(isWanted: (event: RecordedEvent) => boolean): Promise<number> {
    const rows = new Map<number, { readonly entry: PendingEntry; readonly text: string }>()
    for (const sequence of this.#dead) {
      const text = await this.#database.get(this.#key('dead', sequence))
      const event = text === undefined ? undefined : decodeRow(text).event
      if (event === undefined || !isWanted(event)) continue
      const row = { event, attempts: 0 }
      rows.set(sequence, { entry: entryOf(row, encodeRow(row)), text: encodeRow(row) })
    }
    const revived = this.#pending.restore(new Map([...rows].map(([sequence, { entry }]) => [sequence, entry])), false)
    this.#dead = this.#dead.filter((sequence) => !revived.includes(sequence))
    const changes = revived.flatMap((sequence): Change[] => [
      { type: 'del', key: this.#key('dead', sequence) },
      { type: 'put', key: this.#key('pending', sequence), value: rows.get(sequence)?.text ?? '' }
    ])
    try {
      await this.#database.write(changes, { durable: true })
    } catch (error) {
      // They are dead as before; waiting for what is not written would hold up all behind them.
      for (const sequence of revived) this.settle(sequence, false)
      this.#dead = [...this.#dead, ...revived].sort((a, b) => a - b)
      throw error
    }
    for (const sequence of revived) this.settle(sequence, true)
    return revived.length
  }

  /** Whether an event of this id waits for its delivery. */
  async isPending(id: string): Promise<boolean> {
    for await (const [, text] of this.#database.range(rowRange('pending', this.#name))) {
      if (decodeRow(text).event.id === id) return true
    }
    return false
  }

  async #drop(reason: DropReason, sequences: readonly number[]): Promise<void> {
    if (sequences.length === 0) return
    this.#onDropped(reason, sequences.length)
    const changes = sequences.map((sequence): Change => ({ type: 'del', key: this.#key('pending', sequence) }))
    await this.#database.write(changes, { durable: false })
  }

  #key(kind: 'pending' | 'dead', sequence: number): string {
    return rowKey(kind, this.#name, sequence)
  }
}

function letterOf({ event, attempts, lastError, diedAt }: Row): DeadLetter {
  const subject = subjectOf(event.data)
  return {
    id: event.id,
    type: typeOf(event.name),
    ...(subject === undefined ? {} : { subject }),
    time: event.time,
    attempts,
    ...(lastError === undefined ? {} : { lastError }),
    ...(diedAt === undefined ? {} : { diedAt })
  }
}

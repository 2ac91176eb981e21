export interface PendingBounds {
  /** Events that wait for one endpoint. */
  readonly maxCount: number
  /** Their length on the disk. */
  readonly maxBytes: number
}

/** What is known of an event that waits, without reading it. */
export interface PendingEntry {
  readonly bytes: number
  /** May be dropped for others. */
  readonly expendable: boolean
}

interface Held extends PendingEntry {
  /** On the disk, so that it may be sent. */
  written: boolean
}

/**
 * What waits for one endpoint, by sequence, within bounds. When an event finds no room, expendable ones make way, the
 * oldest first; an expendable one makes nobody go. When there are none left the oldest go: a receiver that was away for so
 * long is better served with what is new.
 */
export class Pending {
  readonly #bounds: PendingBounds
  #held = new Map<number, Held>()
  #bytes = 0
  #inDelivery: number | undefined

  constructor(bounds: PendingBounds) {
    this.#bounds = bounds
  }

  get count(): number {
    return this.#held.size
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Takes in an event. @returns which were dropped for it; itself when it found no room */
  admit(sequence: number, entry: PendingEntry): number[] {
    if (entry.bytes > this.#bounds.maxBytes) return [sequence]
    const dropped: number[] = []
    while (!this.#fits(entry)) {
      const victim = this.#victim(entry)
      if (victim === undefined) return [...dropped, sequence]
      this.remove(victim)
      dropped.push(victim)
    }
    this.#put(sequence, { ...entry, written: false })
    return dropped
  }

  /** Has an event be sent that was admitted. */
  written(sequence: number): void {
    const held = this.#held.get(sequence)
    if (held !== undefined) held.written = true
  }

  /**
   * Puts events back, in their order among the others, as far as there is room.
   * @param written whether they are on the disk as events that wait, so that they may be sent
   * @returns those that fitted
   */
  restore(entries: ReadonlyMap<number, PendingEntry>, written: boolean): number[] {
    const restored: number[] = []
    for (const [sequence, entry] of entries) {
      if (this.#held.has(sequence)) continue
      if (!this.#fits(entry)) break
      this.#put(sequence, { ...entry, written })
      restored.push(sequence)
    }
    this.#held = new Map([...this.#held].sort(([a], [b]) => a - b))
    return restored
  }

  remove(sequence: number): void {
    const held = this.#held.get(sequence)
    if (held === undefined) return
    this.#held.delete(sequence)
    this.#bytes -= held.bytes
  }

  has(sequence: number): boolean {
    return this.#held.has(sequence)
  }

  /** The one that is to be sent next; from now on it is not dropped. */
  take(): number | undefined {
    const [first] = this.#held
    this.#inDelivery = first?.[1].written === true ? first[0] : undefined
    return this.#inDelivery
  }

  #fits({ bytes }: PendingEntry): boolean {
    return this.#held.size < this.#bounds.maxCount && this.#bytes + bytes <= this.#bounds.maxBytes
  }

  #put(sequence: number, held: Held): void {
    this.#held.set(sequence, held)
    this.#bytes += held.bytes
  }

  #victim({ expendable }: PendingEntry): number | undefined {
    if (expendable) return undefined
    let oldest: number | undefined
    for (const [sequence, held] of this.#held) {
      if (sequence === this.#inDelivery || !held.written) continue
      if (held.expendable) return sequence
      oldest ??= sequence
    }
    return oldest
  }
}

import type { Clock } from './clock.ts'

/** What a reader sees of the blob. */
export interface Readable {
  has(piece: number): boolean
  bytesOf(piece: number): number
  /** It waits for this piece. */
  awaits(piece: number): void
}

/** A client that reads a range of a blob, piece by piece in order, at its own rate. */
export class Reader {
  readonly #clock: Clock
  readonly #source: Readable
  readonly #end: number
  readonly #bytesPerMs: number
  #next: number
  #waiting = false
  #busy = false
  #firstByteAt: number | undefined
  #doneAt: number | undefined

  /** @param bytesPerMs Infinity for as fast as it comes */
  constructor(clock: Clock, source: Readable, range: { start: number; end: number }, bytesPerMs: number) {
    this.#clock = clock
    this.#source = source
    this.#next = range.start
    this.#end = range.end
    this.#bytesPerMs = bytesPerMs
  }

  get firstByteAt(): number | undefined {
    return this.#firstByteAt
  }

  get doneAt(): number | undefined {
    return this.#doneAt
  }

  /** Begins, or goes on after its node was away. */
  start(): void {
    this.#waiting = false
    if (!this.#busy) this.read()
  }

  /** A piece is here now. */
  kept(piece: number): void {
    if (!this.#waiting || piece !== this.#next) return
    this.#waiting = false
    this.read()
  }

  private read(): void {
    while (this.#next < this.#end) {
      const piece = this.#next
      if (!this.#source.has(piece)) {
        this.#waiting = true
        this.#source.awaits(piece)
        return
      }
      this.#firstByteAt ??= this.#clock.now
      this.#next++
      if (Number.isFinite(this.#bytesPerMs)) {
        this.#busy = true
        this.#clock.after(this.#source.bytesOf(piece) / this.#bytesPerMs, () => {
          this.#busy = false
          this.read()
        })
        return
      }
    }
    this.#doneAt ??= this.#clock.now
  }
}

import { RateMeter } from './rate-meter.ts'

export interface AheadOptions {
  readonly maxAheadBytesPerPeer: number
  readonly firstAheadBytes: number
  readonly aheadMs: number
}

/** What is between this node and one peer, over all blobs. */
export class PeerState {
  /** When the peer last sent anything, or was first asked after it owed nothing. */
  activeAt: number
  /** When payload last came from it. */
  payloadAt = Number.NEGATIVE_INFINITY
  pausedUntil = 0
  /** Whether requests were taken back while it was silent: a peer that lives answers that. */
  #owesSign = false
  readonly #meter = new RateMeter()
  /** Bytes of the pieces that were asked and are not here. */
  #owed = 0
  /** How many of these have come, of pieces that are not whole yet. */
  #received = 0

  constructor(now: number) {
    this.activeAt = now
  }

  /** Whether it is its turn to say something. */
  get owes(): boolean {
    return this.#owed > 0 || this.#owesSign
  }

  /** Bytes that are still to come. */
  get aheadBytes(): number {
    return Math.max(0, this.#owed - this.#received)
  }

  ask(now: number, bytes: number): void {
    if (this.#owed === 0) {
      if (!this.#owesSign) this.activeAt = now
      this.#meter.begin(now)
    }
    this.#owed += bytes
  }

  /** A piece came, or is no longer expected. */
  settle(now: number, bytes: number): void {
    this.#owed -= bytes
    this.#received = Math.max(0, this.#received - bytes)
    if (this.#owed === 0) this.#meter.pause(now)
  }

  /** A request is about to be taken back. A peer that was silent for `silentMs` by then still has to show that it lives. */
  expectSign(now: number, silentMs: number): void {
    if (this.aheadBytes > 0 && now - this.activeAt >= silentMs) this.#owesSign = true
  }

  progress(now: number, bytes: number): void {
    this.activeAt = now
    this.#owesSign = false
    if (bytes === 0) return
    this.payloadAt = now
    this.#received += bytes
    this.#meter.count(now, bytes)
  }

  /** Whether it is to be asked for more: it would soon have nothing to send. */
  hasRoom(now: number, options: AheadOptions): boolean {
    if (now < this.pausedUntil || this.#owesSign) return false
    return this.#owed === 0 || this.aheadBytes < this.target(options)
  }

  /** How much of what may be asked of it is asked already, 0 to 1 and a little more. */
  load(options: AheadOptions): number {
    return this.aheadBytes / this.target(options)
  }

  /** How long it needs for `bytes` more, in ms, as it looks now; undefined when nothing came of it yet. */
  needsMs(bytes: number): number | undefined {
    const rate = this.#meter.bytesPerMs
    return rate === undefined ? undefined : (this.aheadBytes + bytes) / Math.max(rate, Number.MIN_VALUE)
  }

  private target({ maxAheadBytesPerPeer, firstAheadBytes, aheadMs }: AheadOptions): number {
    const rate = this.#meter.bytesPerMs
    return rate === undefined ? firstAheadBytes : Math.min(maxAheadBytesPerPeer, Math.max(1, rate * aheadMs))
  }
}

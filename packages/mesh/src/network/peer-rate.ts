import { LRUCache } from 'lru-cache'

/** Peers whose rate is remembered; one that was forgotten may do again what the burst allows. */
const PEERS_REMEMBERED = 1_024

/** Holds each peer to a rate: `burst` at once, then `perSecond` on average. */
export class PeerRate {
  readonly #perMs: number
  readonly #burst: number
  readonly #now: () => number
  readonly #peers = new LRUCache<string, { left: number; at: number }>({ max: PEERS_REMEMBERED })

  /** @param now in ms, of a clock that never goes back */
  constructor(options: { perSecond: number; burst: number }, now: () => number) {
    this.#perMs = options.perSecond / 1_000
    this.#burst = options.burst
    this.#now = now
  }

  /** Whether the peer may act once more; counts it if so. */
  allows(peerId: string): boolean {
    const at = this.#now()
    const known = this.#peers.get(peerId) ?? { left: this.#burst, at }
    const left = Math.min(this.#burst, known.left + (at - known.at) * this.#perMs)
    const allowed = left >= 1
    this.#peers.set(peerId, { left: allowed ? left - 1 : left, at })
    return allowed
  }
}

const MAX_BANS = 4_096

/** Peers that are shut out for a while. */
export class BanList {
  readonly #until = new Map<string, number>()
  readonly #now: () => number

  /** @param now milliseconds of any clock that never goes back */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Shuts a peer out; a longer ban stays. @returns false when it was banned for at least so long already */
  ban(peerId: string, forMs: number): boolean {
    const until = this.#now() + forMs
    if ((this.#until.get(peerId) ?? 0) >= until) return false
    this.#until.delete(peerId)
    this.#until.set(peerId, until)
    if (this.#until.size > MAX_BANS) this.forgetOldest()
    return true
  }

  has(peerId: string): boolean {
    const until = this.#until.get(peerId)
    if (until === undefined) return false
    if (this.#now() < until) return true
    this.#until.delete(peerId)
    return false
  }

  private forgetOldest(): void {
    const [oldest] = this.#until.keys()
    if (oldest !== undefined) this.#until.delete(oldest)
  }
}

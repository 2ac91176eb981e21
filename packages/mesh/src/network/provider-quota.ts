import { LIMITS } from '../limits.ts'

/** Where kad-dht keeps who claims to have what: `/dht/provider/CID/PEER`. */
export const PROVIDERS = '/dht/provider/'

export interface ProviderQuotaOptions {
  readonly perPeer: number
  readonly total: number
  readonly keyLength: number
}

const DEFAULTS: ProviderQuotaOptions = Object.freeze({
  perPeer: LIMITS.providerRecordsPerPeer,
  total: LIMITS.providerRecords,
  keyLength: LIMITS.providerKeyLength
})

/** Counts the claims that a node keeps for others, which would fill its disk without a bound. */
export class ProviderQuota {
  readonly #options: ProviderQuotaOptions
  readonly #byPeer = new Map<string, number>()
  #total = 0

  constructor(options: Partial<ProviderQuotaOptions> = {}) {
    this.#options = { ...DEFAULTS, ...options }
  }

  /** @throws {RangeError} when no claim of this peer may be added, or its name is too long to be one */
  require(name: string): void {
    const { perPeer, total, keyLength } = this.#options
    if (name.length > keyLength) throw new RangeError('the key of a provider record is too long')
    if (this.#total >= total || (this.#byPeer.get(peerOf(name)) ?? 0) >= perPeer) {
      throw new RangeError('too many provider records')
    }
  }

  added(name: string): void {
    this.#count(name, 1)
  }

  removed(name: string): void {
    this.#count(name, -1)
  }

  #count(name: string, change: 1 | -1): void {
    const peer = peerOf(name)
    const count = (this.#byPeer.get(peer) ?? 0) + change
    if (count > 0) this.#byPeer.set(peer, count)
    else this.#byPeer.delete(peer)
    this.#total = Math.max(0, this.#total + change)
  }
}

function peerOf(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1)
}

import type { Asked, Wanted } from './faults.ts'

/** A request and what came of it so far. */
export interface Exchange extends Asked {
  /** Address and port of whoever asked. */
  readonly from: string
  readonly range?: string
  /** The scheme of the credential that was shown: `Basic`, `Bearer`. */
  readonly scheme?: string
  /** Of the answer, once there is one. */
  status?: number
  /** Bytes of the body that were handed to the connection. */
  bytes: number
}

export interface TrafficFilter {
  readonly wanted?: Wanted
  readonly method?: string
  /** Digest or tag. */
  readonly reference?: string
  readonly status?: number
}

/** What went through a proxy, from when it was last cleared. */
export class Traffic {
  #exchanges: Exchange[] = []
  #waiters: { readonly bytes: number; readonly resolve: () => void }[] = []

  /** What was asked so far, also what is under way. */
  get exchanges(): readonly Exchange[] {
    return this.#exchanges
  }

  /** Begins to count again; what is under way counts no more. */
  clear(): void {
    this.#exchanges = []
  }

  begin(exchange: Exchange): Exchange {
    this.#exchanges.push(exchange)
    return exchange
  }

  sent(exchange: Exchange, bytes: number): void {
    exchange.bytes += bytes
    if (this.#waiters.length === 0) return
    const total = this.blobBytes()
    for (const waiter of this.#waiters.filter((waiter) => waiter.bytes <= total)) waiter.resolve()
    this.#waiters = this.#waiters.filter((waiter) => waiter.bytes > total)
  }

  /** How often something was asked. */
  requests(filter: TrafficFilter = {}): number {
    return this.#select(filter).length
  }

  /** Bytes of bodies, but for those of refusals. */
  bytes(filter: TrafficFilter = {}): number {
    return this.#select(filter).reduce((sum, { bytes, status = 0 }) => (status < 300 ? sum + bytes : sum), 0)
  }

  /** Bytes of blobs, of all or of one, also those that came from the object store. */
  blobBytes(reference?: string): number {
    const filter = reference === undefined ? {} : { reference }
    return this.bytes({ wanted: 'blob', ...filter }) + this.bytes({ wanted: 'object', ...filter })
  }

  /** Resolves when so many bytes of blobs have gone out. */
  reached(blobBytes: number): Promise<void> {
    if (this.blobBytes() >= blobBytes) return Promise.resolve()
    return new Promise((resolve) => this.#waiters.push({ bytes: blobBytes, resolve }))
  }

  #select(filter: TrafficFilter): Exchange[] {
    const wanted = Object.entries(filter) as [keyof TrafficFilter, unknown][]
    return this.#exchanges.filter((exchange) => wanted.every(([key, value]) => exchange[key] === value))
  }
}

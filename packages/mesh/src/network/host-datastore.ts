import { NotFoundError } from '@libp2p/interface'
import { LevelDatastore } from 'datastore-level'
import type { Key, KeyQuery, Pair, Query } from 'interface-datastore'
import { LRUCache } from 'lru-cache'
import { LIMITS } from '../limits.ts'
import { PROVIDERS, ProviderQuota, type ProviderQuotaOptions } from './provider-quota.ts'

type Options = Parameters<LevelDatastore['get']>[1]

/** Where libp2p keeps what it knows of peers. */
const PEERS = '/peers/'
/** Peers and DHT records are few and small; LevelDB's own figures are for databases that are not. */
const DATABASE_MEMORY = { cacheSize: 1024 * 1024, writeBufferSize: 1024 * 1024 }
const WRITE_AFTER_MS = 1_000

/**
 * What libp2p keeps on disk, with all that it knows of peers in memory: it looks that up and writes it anew several
 * times for each connection, each of which would go to the disk's threads and back. Changes are written after a moment,
 * many at once; what a crash loses of them are hints.
 */
export class HostDatastore extends LevelDatastore {
  readonly #peers = new LRUCache<string, Pair>({
    max: LIMITS.knownPeers,
    dispose: ({ key }, name, reason) => {
      if (reason === 'evict') this.#change(name, key)
    }
  })
  readonly #changed = new Map<string, Key>()
  /** Provider records that are just being written: one that is told of many times at once counts once. */
  readonly #counting = new Set<string>()
  #timer: NodeJS.Timeout | undefined
  #closed = false
  #writing: Promise<void> = Promise.resolve()

  readonly #quota: ProviderQuota

  constructor(directory: string, quota: Partial<ProviderQuotaOptions> = {}) {
    super(directory, DATABASE_MEMORY)
    this.#quota = new ProviderQuota(quota)
  }

  override async open(): Promise<void> {
    await super.open()
    for await (const pair of super.query({ prefix: PEERS })) this.#peers.set(pair.key.toString(), pair)
    for await (const key of super.queryKeys({ prefix: PROVIDERS })) this.#quota.added(key.toString())
  }

  override async put(key: Key, value: Uint8Array, options?: Options): Promise<Key> {
    const name = key.toString()
    if (name.startsWith(PROVIDERS)) return await this.#putProvider(name, key, value, options)
    if (!name.startsWith(PEERS)) return await super.put(key, value, options)
    this.#peers.set(name, { key, value })
    this.#change(name, key)
    return key
  }

  override async get(key: Key, options?: Options): Promise<Uint8Array> {
    const name = key.toString()
    if (!name.startsWith(PEERS)) return await super.get(key, options)
    const known = this.#peers.get(name)
    if (known === undefined) throw new NotFoundError(`nothing is known of ${name}`)
    return known.value
  }

  override async has(key: Key, options?: Options): Promise<boolean> {
    const name = key.toString()
    return name.startsWith(PEERS) ? this.#peers.has(name) : await super.has(key, options)
  }

  override async delete(key: Key, options?: Options): Promise<void> {
    const name = key.toString()
    if (name.startsWith(PROVIDERS)) return await this.#deleteProvider(name, key, options)
    if (!name.startsWith(PEERS)) return await super.delete(key, options)
    if (this.#peers.delete(name)) this.#change(name, key)
  }

  override query(query: Query, options?: Options): ReturnType<LevelDatastore['query']> {
    return query.prefix?.startsWith(PEERS) ? pick([...this.#peers.values()], query) : super.query(query, options)
  }

  override queryKeys(query: KeyQuery, options?: Options): ReturnType<LevelDatastore['queryKeys']> {
    if (!query.prefix?.startsWith(PEERS)) return super.queryKeys(query, options)
    return pick(
      [...this.#peers.values()].map(({ key }) => key),
      query
    )
  }

  override async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#writing
    await this.#write()
    await super.close()
  }

  /** @throws {RangeError} beyond the quota */
  async #putProvider(name: string, key: Key, value: Uint8Array, options: Options): Promise<Key> {
    if (this.#counting.has(name)) return await super.put(key, value, options)
    this.#counting.add(name)
    try {
      if (await super.has(key, options)) return await super.put(key, value, options)
      this.#quota.require(name)
      this.#quota.added(name)
      return await super.put(key, value, options).catch((error: unknown) => {
        this.#quota.removed(name)
        throw error
      })
    } finally {
      this.#counting.delete(name)
    }
  }

  async #deleteProvider(name: string, key: Key, options: Options): Promise<void> {
    if (this.#counting.has(name)) return await super.delete(key, options)
    this.#counting.add(name)
    try {
      const was = await super.has(key, options)
      await super.delete(key, options)
      if (was) this.#quota.removed(name)
    } finally {
      this.#counting.delete(name)
    }
  }

  #change(name: string, key: Key): void {
    this.#changed.set(name, key)
    if (this.#closed) return
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#writing = this.#writing.then(() => this.#write())
    }, WRITE_AFTER_MS).unref()
  }

  /** Never rejects: a disk that is full for a while must not end what this node knows. */
  async #write(): Promise<void> {
    const changes = [...this.#changed]
    if (changes.length === 0) return
    this.#changed.clear()
    const batch = this.batch()
    for (const [name, key] of changes) {
      const known = this.#peers.peek(name)
      if (known === undefined) batch.delete(key)
      else batch.put(key, known.value)
    }
    try {
      await batch.commit()
    } catch {
      // Those that are forgotten meanwhile may stay on the disk: they are hints, and have no bound here.
      for (const [name, key] of changes) if (this.#peers.has(name)) this.#change(name, key)
    }
  }
}

/** What a query says of the items that it is for. */
interface Picking<Item> {
  filters?: ((item: Item) => boolean)[]
  orders?: ((one: Item, other: Item) => number)[]
  offset?: number
  limit?: number
}

async function* pick<Item>(
  items: readonly Item[],
  { filters = [], orders = [], offset = 0, limit = Number.POSITIVE_INFINITY }: Picking<Item>
): AsyncGenerator<Item> {
  const fitting = items.filter((item) => filters.every((fits) => fits(item)))
  for (const order of orders) fitting.sort(order)
  yield* fitting.slice(offset, offset + limit)
}

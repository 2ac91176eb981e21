import { setTimeout as sleep } from 'node:timers/promises'
import type { BlobStat, SharedContent } from '@layermesh/content'
import type { Digest } from '@layermesh/oci'
import type { Logger } from '../log.ts'

export interface SharedContentWatchComponents {
  readonly shared: Pick<SharedContent, 'look'>
  /** Whether the node's own store has a blob. */
  isHere(digest: Digest): Promise<boolean>
  announce(digest: Digest): void
  withdraw(digest: Digest): Promise<void>
  readonly log: Pick<Logger, 'info' | 'warn' | 'debug'>
}

export interface SharedContentWatchOptions {
  readonly everyMs: number
  /** New blobs are read through for so long at a time. */
  readonly roundMs: number
  /** Blobs that the DHT is told of, the largest: others are found by asking. */
  readonly maxAnnounced: number
  /** Smaller ones are not worth a walk through the DHT. */
  readonly minAnnouncedBytes: number
}

const DEFAULTS: SharedContentWatchOptions = Object.freeze({
  everyMs: 30_000,
  roundMs: 30_000,
  maxAnnounced: 512,
  minAnnouncedBytes: 64 * 1024
})

/** Follows what another program's store on this host holds, and tells the mesh of it. */
export class SharedContentWatch {
  readonly #components: SharedContentWatchComponents
  readonly #options: SharedContentWatchOptions
  readonly #stopped = new AbortController()
  readonly #announced = new Set<Digest>()
  #count: number | undefined
  #complaint: string | undefined
  #running: Promise<void> = Promise.resolve()

  constructor(components: SharedContentWatchComponents, options: Partial<SharedContentWatchOptions> = {}) {
    this.#components = components
    this.#options = { ...DEFAULTS, ...options }
  }

  start(): void {
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped
    while (!signal.aborted) {
      await this.look().catch((error: unknown) => this.#complain(error))
      await sleep(this.#options.everyMs, undefined, { signal, ref: false }).catch(() => {})
    }
  }

  /** Looks once. */
  async look(): Promise<void> {
    const { shared, log } = this.#components
    const round = AbortSignal.any([this.#stopped.signal, AbortSignal.timeout(this.#options.roundMs)])
    const blobs = await shared.look(round)
    this.#complaint = undefined
    if (blobs.length !== this.#count) log.info({ blobs: blobs.length }, 'giving what containerd has to other nodes')
    this.#count = blobs.length
    await this.#tell(blobs)
  }

  async #tell(blobs: readonly BlobStat[]): Promise<void> {
    const { announce, withdraw, isHere } = this.#components
    const { maxAnnounced, minAnnouncedBytes } = this.#options
    const worth = blobs.filter(({ size }) => size >= minAnnouncedBytes).sort((a, b) => b.size - a.size)
    const wanted = new Set(worth.slice(0, maxAnnounced).map(({ digest }) => digest))
    for (const digest of this.#announced) {
      if (wanted.has(digest)) continue
      this.#announced.delete(digest)
      if (!(await isHere(digest))) await withdraw(digest)
    }
    for (const digest of wanted) {
      if (this.#announced.has(digest)) continue
      this.#announced.add(digest)
      announce(digest)
    }
  }

  /** Once for each reason, not each time. */
  #complain(error: unknown): void {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    if (this.#stopped.signal.aborted || reason === this.#complaint) return
    this.#complaint = reason
    this.#components.log.warn({ reason }, 'store.containerd can not be read: see whether it is there and this user may')
  }
}

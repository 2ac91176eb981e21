import { type ContentStore, type GarbageReport, isContentError } from '@layermesh/content'
import type { NodeConfig } from '../config/node-config.ts'
import type { Logger } from '../log.ts'
import type { NodeMetrics } from '../metrics.ts'

export interface GarbageComponents {
  readonly content: Pick<ContentStore, 'collectGarbage'>
  readonly log: Pick<Logger, 'info' | 'warn'>
  readonly metrics: Pick<NodeMetrics, 'garbageCollected'>
}

/** Has the garbage of the store collected, on schedule and when asked. */
export class Garbage {
  readonly #components: GarbageComponents
  readonly #everyMs: number
  readonly #stopped = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined

  /** @param options of `store.garbage`; with an `everyMs` of 0 there is no schedule */
  constructor(components: GarbageComponents, { everyMs }: Pick<NodeConfig['store']['garbage'], 'everyMs'>) {
    this.#components = components
    this.#everyMs = everyMs
  }

  start(): void {
    if (this.#everyMs === 0) return
    this.#timer = setInterval(() => {
      this.#running ??= this.#scheduled().finally(() => {
        this.#running = undefined
      })
    }, this.#everyMs).unref()
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#stopped.abort()
    await this.#running
  }

  /** Collects until it is done or `signal` aborts. @throws {ContentError} BUSY */
  async collect(options: { dryRun: boolean; signal: AbortSignal }): Promise<GarbageReport> {
    const { content, metrics, log } = this.#components
    const begun = performance.now()
    const report = await content.collectGarbage(options)
    if (options.dryRun) return report
    metrics.garbageCollected({ complete: report.complete, seconds: (performance.now() - begun) / 1000 })
    if (report.blobs + report.partials + report.unlinked + report.rows > 0) log.info({ ...report }, 'collected garbage')
    return report
  }

  async #scheduled(): Promise<void> {
    try {
      await this.collect({ dryRun: false, signal: this.#stopped.signal })
    } catch (error) {
      // Somebody has asked for it, so it is being done.
      if (isContentError(error, 'BUSY')) return
      this.#components.log.warn({ err: error }, 'garbage could not be collected; trying again later')
    }
  }
}

import { setTimeout as sleep } from 'node:timers/promises'
import type { BlobReader, BlobStat, BlobVerdict, ContentStore } from '@layermesh/content'
import { type Digest, OciError, type Repository } from '@layermesh/oci'
import { describe } from '../admin/errors.ts'
import type { Logger } from '../log.ts'
import type { NodeMetrics } from '../metrics.ts'

export interface VerifierComponents {
  readonly content: Pick<ContentStore, 'blobs' | 'downloads' | 'repositories'>
  /** Brings a blob from whoever has it; undefined when nobody does. */
  bring(blob: BlobStat, signal: AbortSignal): Promise<BlobReader | undefined>
  readonly metrics: Pick<NodeMetrics, 'verified' | 'badBlob'>
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>
}

export interface VerifierOptions {
  /** How often it runs by itself, in ms; 0 for only when asked. */
  readonly everyMs: number
  /** Bytes that are read in a second, when nothing else is asked for. */
  readonly bytesPerSecond: number
  /** How long it waits for a blob that is fetched anew, in ms. @default 600 000 */
  readonly repairMs?: number
}

/** A blob that was not right. */
export interface BadBlob extends BlobStat {
  /** Some repository that shows it. */
  readonly repository?: Repository
  /** How many pieces were bad; 0 when the whole file was missing or of another length. */
  readonly badPieces: number
  /** lost: it could not be had from anybody; what is right of it is kept for a while. */
  readonly state: 'fetching' | 'repaired' | 'lost'
  /** Why it is lost. */
  readonly reason?: string
}

/** How far it is. */
export interface VerifyCount {
  readonly blobs: number
  readonly bytes: number
  /** When it began. */
  readonly ofBlobs: number
  readonly ofBytes: number
}

export interface VerifyResult {
  readonly blobs: number
  readonly bytes: number
  readonly repaired: number
  readonly lost: number
}

export type OnVerifyProgress = (progress: { readonly count: VerifyCount } | { readonly bad: BadBlob }) => void

const REPAIR_MS = 600_000
const PAGE = 100
/** How often it is told at least how far it is, since whoever listens takes long silence for an end. */
const TELL_EVERY_MS = 1_000

/**
 * Reads all content again, at a bounded rate, and has what the disk does not give back as it was stored fetched anew.
 * What the system holds in memory of the files is read from there: that the disk itself is right shows after a restart
 * of the machine, or once other files took their place.
 */
export class Verifier {
  readonly #components: VerifierComponents
  readonly #options: Required<VerifierOptions>
  readonly #stopped = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #running: Promise<unknown> | undefined

  constructor(components: VerifierComponents, options: VerifierOptions) {
    this.#components = components
    this.#options = { repairMs: REPAIR_MS, ...options }
  }

  start(): void {
    const { everyMs } = this.#options
    if (everyMs > 0) this.#timer = setInterval(() => void this.#scheduled(), everyMs).unref()
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#stopped.abort()
    await this.#running
  }

  /**
   * @param options rate in bytes per second, where it is not to be that of the settings
   * @throws {OciError} TOOMANYREQUESTS while it runs; the reason of `signal`
   */
  async run(
    options: { readonly bytesPerSecond?: number },
    onProgress: OnVerifyProgress,
    signal: AbortSignal
  ): Promise<VerifyResult> {
    if (this.#running !== undefined) throw new OciError('TOOMANYREQUESTS', 'the store is being verified already')
    const rate = options.bytesPerSecond ?? this.#options.bytesPerSecond
    const pass = new Pass(this.#components, { ...this.#options, bytesPerSecond: rate }, onProgress)
    const running = pass.run(AbortSignal.any([signal, this.#stopped.signal]))
    this.#running = running
      .catch(() => {})
      .finally(() => {
        this.#running = undefined
      })
    return await running
  }

  async #scheduled(): Promise<void> {
    const { log } = this.#components
    if (this.#running !== undefined) return
    try {
      const result = await this.run({}, () => {}, this.#stopped.signal)
      log.info({ ...result }, 'verified the store')
    } catch (error) {
      if (!this.#stopped.signal.aborted) log.warn({ err: error }, 'the store could not be verified; trying again later')
    }
  }
}

/** One time through the store. */
class Pass {
  readonly #components: VerifierComponents
  readonly #options: Required<VerifierOptions>
  readonly #onProgress: OnVerifyProgress
  readonly #begunAt = performance.now()
  #read = 0
  #blobs = 0
  #repaired = 0
  #lost = 0

  constructor(components: VerifierComponents, options: Required<VerifierOptions>, onProgress: OnVerifyProgress) {
    this.#components = components
    this.#options = options
    this.#onProgress = onProgress
  }

  async run(signal: AbortSignal): Promise<VerifyResult> {
    const { blobs } = this.#components.content
    const all = { ofBlobs: blobs.count(), ofBytes: blobs.usedBytes() }
    const tell = () => this.#onProgress({ count: { ...all, blobs: this.#blobs, bytes: this.#read } })
    const pace = async (bytes: number) => {
      this.#read += bytes
      this.#components.metrics.verified(bytes)
      await this.#pause(tell, signal)
    }
    for await (const { digest } of this.#list()) {
      signal.throwIfAborted()
      const verdict = await blobs.verify(digest, pace)
      this.#blobs++
      if (verdict?.isLost || (verdict?.badPieces.length ?? 0) > 0) await this.#repair(verdict as BlobVerdict, signal)
    }
    const [done, read] = [this.#blobs, this.#read]
    this.#onProgress({ count: { blobs: done, ofBlobs: done, bytes: read, ofBytes: read } })
    return { blobs: this.#blobs, bytes: this.#read, repaired: this.#repaired, lost: this.#lost }
  }

  /** A page at a time, so that no look at the tables stays open for hours. */
  async *#list(): AsyncGenerator<BlobStat> {
    let after: Digest | undefined
    do {
      const { blobs } = this.#components.content
      const page: BlobStat[] = []
      for await (const blob of blobs.list({ limit: PAGE, ...(after && { after }) })) page.push(blob)
      yield* page
      after = page.length < PAGE ? undefined : page.at(-1)?.digest
    } while (after !== undefined)
  }

  async #pause(tell: () => void, signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted()
      tell()
      const dueMs = (this.#read * 1_000) / this.#options.bytesPerSecond
      const restMs = this.#begunAt + dueMs - performance.now()
      if (restMs <= 0) return
      await sleep(Math.min(restMs, TELL_EVERY_MS), undefined, { signal, ref: false }).catch(() => {})
    }
  }

  async #repair({ digest, size, badPieces }: BlobVerdict, signal: AbortSignal): Promise<void> {
    const { content, log, metrics } = this.#components
    const repository = await content.repositories.findBlob(digest)
    const found = { digest, size, badPieces: badPieces.length, ...(repository === undefined ? {} : { repository }) }
    const tell = () => this.#onProgress({ bad: { ...found, state: 'fetching' } })
    tell()
    const telling = setInterval(tell, TELL_EVERY_MS)
    const reason = await this.#bring({ digest, size }, signal).finally(() => clearInterval(telling))
    if (reason === undefined) {
      this.#repaired++
      metrics.badBlob('repaired')
      log.info(found, 'fetched anew what the disk did not give back')
      this.#onProgress({ bad: { ...found, state: 'repaired' } })
    } else {
      this.#lost++
      metrics.badBlob('lost')
      log.error({ ...found, reason }, 'the disk did not give back a blob, and it could not be fetched anew')
      this.#onProgress({ bad: { ...found, state: 'lost', reason } })
    }
  }

  /** @returns why it is not here; undefined when it is */
  async #bring(blob: BlobStat, signal: AbortSignal): Promise<string | undefined> {
    const { content, bring } = this.#components
    const deadline = AbortSignal.timeout(this.#options.repairMs)
    const until = AbortSignal.any([signal, deadline])
    try {
      const reader = await bring(blob, until)
      if (reader === undefined) return 'nobody has it'
      await content.downloads.whole(blob.digest, until)
      return undefined
    } catch (error) {
      signal.throwIfAborted()
      return deadline.aborted ? `it did not come within ${this.#options.repairMs / 1_000} s` : describe(error).message
    }
  }
}

import { setTimeout as sleep } from 'node:timers/promises'
import type { PrefetchReport } from '@layermesh/mesh'
import { type Digest, formatImageReference, formatPlatform, type ImageReference, OciError } from '@layermesh/oci'
import PQueue from 'p-queue'
import type { PullProgress, PullResult } from '../admin/view.ts'
import type { WantedPlatform } from '../image-puller.ts'

export interface PrefetchJobsComponents {
  /** Brings an image into this node. */
  pull(
    reference: ImageReference,
    onProgress: (progress: PullProgress) => void,
    signal: AbortSignal,
    platform: WantedPlatform
  ): Promise<PullResult>
}

export interface PrefetchJobsOptions {
  /** Images that are fetched at one time. */
  readonly maxRunning: number
  /** Images that wait for their turn. */
  readonly maxWaiting: number
  /** A change is told of after so long. */
  readonly reportEveryMs: number
  /** That nothing changed is told of after so long. */
  readonly heartbeatMs: number
  /** Nobody waits for an image any longer: it is fetched for so long, in case somebody comes back. */
  readonly graceMs: number
}

const DEFAULTS: PrefetchJobsOptions = Object.freeze({
  maxRunning: 2,
  maxWaiting: 32,
  reportEveryMs: 500,
  heartbeatMs: 5_000,
  graceMs: 60_000
})

/** An image that somebody wants to be here. */
export interface PrefetchOrder {
  readonly reference: ImageReference
  readonly platform: WantedPlatform
  /** For how long it is wanted, in ms. */
  readonly deadlineMs: number
}

/** Images that this node fetches for others. One that several ask for at the same time is fetched once. */
export class PrefetchJobs {
  readonly #components: PrefetchJobsComponents
  readonly #options: PrefetchJobsOptions
  readonly #queue: PQueue
  readonly #jobs = new Map<string, Job>()

  constructor(components: PrefetchJobsComponents, options: Partial<PrefetchJobsOptions> = {}) {
    this.#components = components
    this.#options = { ...DEFAULTS, ...options }
    this.#queue = new PQueue({ concurrency: this.#options.maxRunning })
  }

  /**
   * Fetches an image, and yields how far it is until it is all here.
   * @throws {OciError} TOOMANYREQUESTS when too many wait; UNAVAILABLE after the deadline; else what the pull threw
   */
  async *follow(
    { reference, platform, deadlineMs }: PrefetchOrder,
    signal: AbortSignal
  ): AsyncGenerator<PrefetchReport> {
    const deadline = AbortSignal.timeout(deadlineMs)
    const job = this.#join(reference, platform)
    try {
      yield* this.#reports(job, AbortSignal.any([signal, deadline]))
    } catch (error) {
      if (!deadline.aborted) throw error
      throw new OciError('UNAVAILABLE', 'the image did not come in time; what came is kept', { cause: error })
    } finally {
      job.leave()
    }
  }

  /** Ends all that runs. */
  async stop(): Promise<void> {
    const jobs = [...this.#jobs.values()]
    for (const job of jobs) job.abort()
    await Promise.allSettled(jobs.map(({ outcome }) => outcome))
  }

  async *#reports(job: Job, signal: AbortSignal): AsyncGenerator<PrefetchReport> {
    const { reportEveryMs, heartbeatMs } = this.#options
    let told = { text: '', at: 0 }
    while (true) {
      signal.throwIfAborted()
      const report = job.report()
      const text = JSON.stringify(report)
      if (text !== told.text || performance.now() - told.at >= heartbeatMs) {
        yield report
        told = { text, at: performance.now() }
      }
      if (report.state === 'done') return
      await Promise.race([job.outcome, sleep(reportEveryMs, undefined, { signal, ref: false })])
    }
  }

  #join(reference: ImageReference, platform: WantedPlatform): Job {
    const wanted = typeof platform === 'object' ? formatPlatform(platform) : (platform ?? 'own')
    const key = `${formatImageReference(reference)} ${wanted}`
    const known = this.#jobs.get(key)
    if (known) {
      known.enter()
      return known
    }
    if (this.#queue.size >= this.#options.maxWaiting) {
      throw new OciError('TOOMANYREQUESTS', 'this node is to fetch too many images already; try again in a while')
    }
    const job = new Job(
      (onProgress, signal) =>
        this.#queue.add(() => this.#components.pull(reference, onProgress, signal, platform), { signal }),
      this.#options.graceMs
    )
    this.#jobs.set(key, job)
    const forget = () => void this.#jobs.delete(key)
    job.outcome.then(forget, forget)
    return job
  }
}

type Run = (onProgress: (progress: PullProgress) => void, signal: AbortSignal) => Promise<PullResult>

/** One image that is fetched, and those who wait for it. */
class Job {
  readonly outcome: Promise<PullResult>
  readonly #graceMs: number
  readonly #left = new AbortController()
  readonly #parts = new Map<Digest, PullProgress>()
  #result: PullResult | undefined
  #followers = 1
  #grace: NodeJS.Timeout | undefined

  constructor(run: Run, graceMs: number) {
    this.#graceMs = graceMs
    this.outcome = run((part) => this.#parts.set(part.digest, part), this.#left.signal).then((result) => {
      this.#result = result
      return result
    })
  }

  enter(): void {
    this.#followers++
    clearTimeout(this.#grace)
  }

  leave(): void {
    this.#followers--
    if (this.#followers > 0) return
    this.#grace = setTimeout(() => this.abort(), this.#graceMs)
    this.#grace.unref()
  }

  abort(): void {
    clearTimeout(this.#grace)
    this.#left.abort(new OciError('UNAVAILABLE', 'nobody waits for the image any longer, or the node stops'))
  }

  report(): PrefetchReport {
    if (this.#result !== undefined) {
      const { size, receivedBytes, digest } = this.#result
      return { state: 'done', size, heldBytes: size, receivedBytes, digest }
    }
    let [size, heldBytes, receivedBytes] = [0, 0, 0]
    for (const part of this.#parts.values()) {
      size += part.size
      heldBytes += part.heldBytes
      for (const { bytes } of part.sources) receivedBytes += bytes
    }
    return { state: this.#parts.size === 0 ? 'waiting' : 'fetching', size, heldBytes, receivedBytes }
  }
}

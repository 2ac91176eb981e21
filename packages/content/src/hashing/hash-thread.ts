import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { CheckJob, HashJob, HashReply, HashResult, HashThreadData } from './hash-worker.ts'

// Beside this file, as source or compiled.
const WORKER = new URL(`./hash-worker${extname(import.meta.url)}`, import.meta.url)
// A small young generation makes the thread give back its buffers soon; it never holds more than a few.
const LIMITS = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 32 }

/** Bytes with their SHA-256 and their MAC. */
export interface CheckedBytes {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly hash: Uint8Array
  readonly mac: Uint8Array
}

export interface HashThreadOptions {
  readonly data: HashThreadData
  /** A thread that has nothing to do ends after so long, in ms. */
  readonly idleMs: number
  /** Called once, when the thread takes no more work: it is ending, or it failed. */
  readonly onEnd: (thread: HashThread) => void
}

/** One hashing thread: jobs go in, results come out in the same order. It keeps the process alive only while it works. */
export class HashThread {
  readonly #options: HashThreadOptions
  readonly #worker: Worker
  readonly #waiting = new Map<number, PromiseWithResolvers<HashResult>>()
  readonly #idleTimer: NodeJS.Timeout
  #streams = 0
  #lastId = 0
  #failure: Error | undefined

  constructor(options: HashThreadOptions) {
    this.#options = options
    this.#worker = new Worker(WORKER, {
      name: 'layermesh-hash',
      execArgv: [],
      resourceLimits: LIMITS,
      workerData: options.data
    })
    this.#worker.unref()
    this.#worker.on('message', (reply: HashReply) => this.#settle(reply))
    this.#worker.on('error', (error) => this.#fail(new Error('a hashing thread failed', { cause: error })))
    this.#worker.on('exit', () => this.#fail(new Error('the hashing thread ended')))
    this.#idleTimer = setTimeout(() => this.#endIfIdle(), options.idleMs).unref()
  }

  /** How many jobs are not done yet, and how many running hashes will send more. */
  get load(): number {
    return this.#waiting.size + this.#streams
  }

  /** @param transfer memory that goes to the thread with the job */
  run(job: HashJob, transfer: ArrayBuffer[] = []): Promise<HashResult> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    const id = ++this.#lastId
    const waiting = Promise.withResolvers<HashResult>()
    this.#waiting.set(id, waiting)
    if (this.#waiting.size === 1) this.#worker.ref()
    this.#idleTimer.refresh()
    this.#worker.postMessage({ id, job }, transfer)
    return waiting.promise
  }

  /** Runs a job that takes memory and brings it back. */
  async check(job: CheckJob): Promise<CheckedBytes> {
    const { bytes, hash, mac } = await this.run(job, [job.bytes.buffer])
    if (bytes === undefined || hash === undefined || mac === undefined)
      throw new Error('the hashing thread left out something')
    return { bytes, hash, mac }
  }

  /** Keeps the thread although it has nothing to do, for the state of a running hash. */
  holdForStream(): void {
    this.#streams++
  }

  /** Takes one {@link holdForStream} back. */
  letGoOfStream(): void {
    this.#streams--
  }

  async end(): Promise<void> {
    clearTimeout(this.#idleTimer)
    this.#fail(new Error('the hashing thread ended'))
    await this.#worker.terminate()
  }

  #endIfIdle(): void {
    if (this.load === 0) void this.end()
    else this.#idleTimer.refresh()
  }

  #settle({ id, result, error }: HashReply): void {
    const waiting = this.#waiting.get(id)
    // An answer that comes while the thread is being ended must not let the process end before it.
    if (waiting === undefined) return
    this.#waiting.delete(id)
    if (this.#waiting.size === 0) this.#worker.unref()
    if (error === undefined) waiting.resolve(result ?? {})
    else waiting.reject(Object.assign(new Error(error.message), error.code === undefined ? {} : { code: error.code }))
  }

  #fail(error: Error): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    clearTimeout(this.#idleTimer)
    for (const waiting of this.#waiting.values()) waiting.reject(error)
    this.#waiting.clear()
    this.#options.onEnd(this)
  }
}

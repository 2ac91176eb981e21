import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { BcryptJob, BcryptReply } from './bcrypt-worker.ts'

// Beside this file, as source or compiled.
const WORKER = new URL(`./bcrypt-worker${extname(import.meta.url)}`, import.meta.url)
const LIMITS = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 32 }

export interface BcryptThreadOptions {
  /** Passwords that may wait for the one that is being checked. @default 64 */
  readonly maxWaiting?: number
  /** The thread ends when it has nothing to do for so long. @default 60 000 */
  readonly idleMs?: number
}

const DEFAULTS: Required<BcryptThreadOptions> = Object.freeze({ maxWaiting: 64, idleMs: 60_000 })

/**
 * Checks passwords in one thread, one after the other: however many ask, log-ins take one core, and neither the main
 * thread nor the threads that read files. It starts with the first password and ends when none came for a while.
 */
export class BcryptThread {
  readonly #options: Required<BcryptThreadOptions>
  readonly #waiting = new Map<number, PromiseWithResolvers<boolean>>()
  #worker: Worker | undefined
  #idleTimer: NodeJS.Timeout | undefined
  #lastId = 0

  constructor(options: BcryptThreadOptions = {}) {
    this.#options = { ...DEFAULTS, ...options }
  }

  /** False when so many wait that no more should. */
  get hasRoom(): boolean {
    return this.#waiting.size < this.#options.maxWaiting
  }

  /** Tells whether a password fits a hash. @throws when the thread ends before it knows */
  verify(password: string, hash: string): Promise<boolean> {
    const id = ++this.#lastId
    const waiting = Promise.withResolvers<boolean>()
    this.#waiting.set(id, waiting)
    const worker = this.#thread()
    worker.ref()
    const job: BcryptJob = { id, password, hash }
    worker.postMessage(job)
    return waiting.promise
  }

  /** Ends the thread; what waits fails. */
  async close(): Promise<void> {
    const worker = this.#worker
    this.#fail(worker, new Error('passwords are not checked any more'))
    await worker?.terminate()
  }

  #thread(): Worker {
    this.#idleTimer?.refresh()
    if (this.#worker !== undefined) return this.#worker
    const worker = new Worker(WORKER, { name: 'layermesh-bcrypt', execArgv: [], resourceLimits: LIMITS })
    worker.on('message', (reply: BcryptReply) => this.#settle(worker, reply))
    worker.on('error', (cause) => this.#fail(worker, new Error('the thread that checks passwords failed', { cause })))
    worker.on('exit', () => this.#fail(worker, new Error('the thread that checks passwords ended')))
    this.#worker = worker
    this.#idleTimer = setTimeout(() => this.#endIfIdle(), this.#options.idleMs).unref()
    return worker
  }

  #endIfIdle(): void {
    if (this.#waiting.size === 0) void this.close()
    else this.#idleTimer?.refresh()
  }

  #settle(worker: Worker, { id, fits }: BcryptReply): void {
    this.#waiting.get(id)?.resolve(fits)
    this.#waiting.delete(id)
    this.#idleTimer?.refresh()
    if (this.#waiting.size === 0) worker.unref()
  }

  /** What an earlier thread tells of its end does not concern the one that took its place. */
  #fail(worker: Worker | undefined, error: Error): void {
    if (worker !== this.#worker) return
    this.#worker = undefined
    clearTimeout(this.#idleTimer)
    for (const waiting of this.#waiting.values()) waiting.reject(error)
    this.#waiting.clear()
  }
}

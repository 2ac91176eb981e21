import { setTimeout as sleep } from 'node:timers/promises'
import { type Digest, digestOfHash, pieceLengthFor } from '@layermesh/oci'
import PQueue from 'p-queue'
import { type HashPool, MAX_JOB_BYTES } from '../hashing/hash-pool.ts'
import type { HashStream } from '../hashing/hash-stream.ts'
import type { SharedFile } from './shared-files.ts'

export interface VerifierOptions {
  /** Files that are read through at one time. */
  readonly concurrency: number
  /** Files that wait for their turn; more are not verified now. */
  readonly maxWaiting: number
  /** How quickly files are read that nobody waits for, in bytes per second. */
  readonly backgroundBytesPerSecond: number
}

/** What a file holds, and that it is what its name says. */
export interface VerifiedFile {
  readonly identity: string
  readonly size: number
  /** The SHA-256 of each piece. */
  readonly hashes: Uint8Array
}

/** What came of it: `wrong` holds other bytes than its name says. */
export type Verification = { readonly verified: VerifiedFile } | { readonly wrong: string } | undefined

interface Job {
  /** Whether somebody waits for it. */
  urgent: boolean
  readonly outcome: Promise<Verification>
}

/** Reads files of others through, once each: are they what their names say, and what are the hashes of their pieces? */
export class Verifier {
  readonly #pool: HashPool
  readonly #open: (digest: Digest) => Promise<SharedFile | undefined>
  readonly #options: VerifierOptions
  readonly #queue: PQueue
  readonly #jobs = new Map<Digest, Job>()
  readonly #stopped = new AbortController()

  constructor(
    components: { readonly pool: HashPool; open(digest: Digest): Promise<SharedFile | undefined> },
    options: VerifierOptions
  ) {
    this.#pool = components.pool
    this.#open = (digest) => components.open(digest)
    this.#options = options
    this.#queue = new PQueue({ concurrency: options.concurrency })
  }

  /**
   * Verifies a file, together with all who want the same. Undefined when it is not there, or too many wait.
   * @param urgent whether somebody waits for it; else it goes slowly
   */
  verify(digest: Digest, urgent: boolean): Promise<Verification> {
    const running = this.#jobs.get(digest)
    if (running !== undefined) {
      running.urgent ||= urgent
      return running.outcome
    }
    if (this.#queue.size >= this.#options.maxWaiting) return Promise.resolve(undefined)
    const state = { urgent }
    const outcome = this.#queue
      .add(() => this.#read(digest, state), { priority: urgent ? 1 : 0 })
      .finally(() => this.#jobs.delete(digest))
    this.#jobs.set(digest, Object.assign(state, { outcome }))
    return outcome
  }

  async close(): Promise<void> {
    this.#stopped.abort()
    await Promise.allSettled([...this.#jobs.values()].map(({ outcome }) => outcome))
  }

  async #read(digest: Digest, state: { urgent: boolean }): Promise<Verification> {
    const opened = this.#stopped.signal.aborted ? undefined : await this.#open(digest)
    if (opened === undefined) return undefined
    const { file, size, identity } = opened
    const pieceLength = pieceLengthFor(size)
    const step = pieceLength * Math.max(1, Math.floor(MAX_JOB_BYTES / pieceLength))
    let stream: HashStream | undefined = this.#pool.openStream('sha256')
    try {
      const hashes: Uint8Array[] = []
      for (let start = 0; start < size; start += step) {
        this.#stopped.signal.throwIfAborted()
        const to = Math.min(start + step, size)
        const running = stream
        hashes.push(await file.use((fd) => running.extendByPieces(fd, to, pieceLength)))
        if (!state.urgent) await this.#pause(to - start)
      }
      const finishing = stream.finish()
      stream = undefined
      const found = digestOfHash('sha256', await finishing)
      return found === digest ? { verified: { identity, size, hashes: Buffer.concat(hashes) } } : { wrong: identity }
    } finally {
      stream?.drop()
      file.release()
    }
  }

  async #pause(bytes: number): Promise<void> {
    const ms = (1000 * bytes) / this.#options.backgroundBytesPerSecond
    await sleep(ms, undefined, { signal: this.#stopped.signal, ref: false })
  }
}

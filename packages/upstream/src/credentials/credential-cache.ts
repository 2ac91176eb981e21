import { unlessAborted } from '@layermesh/oci'
import { LRUCache } from 'lru-cache'
import { isUpstreamError } from '../errors.ts'
import type { CredentialComponents } from './components.ts'
import { unavailable } from './credential-error.ts'

/** What a source gave, and how long that holds. */
export interface Issued<Value> {
  readonly value: Value
  /** In ms since 1970; undefined when that is not known, so that it is asked for anew after {@link CredentialCacheOptions.maxAgeMs}. */
  readonly expiresAt?: number | undefined
  /** The key under which it is kept, when that is another one than the first that was looked for. */
  readonly key?: string
  /** Has it not kept at all. */
  readonly noStore?: boolean
}

export interface CredentialCacheOptions {
  /** What is kept at one time. @default 500 */
  readonly maxEntries?: number
  /** Deadline of the source, in ms. @default 20 000 */
  readonly timeoutMs?: number
  /** How long after a question whoever needs its answer waits for it, in ms; it goes on without them. @default 8 000 */
  readonly patienceMs?: number
  /** After what time that whose expiry is not known is asked for anew, in ms. @default 300 000 */
  readonly maxAgeMs?: number
  /** What part of its life is left when something is asked for anew, while it still holds. @default 0.1 */
  readonly earlyPart?: number
  /** Least time between two questions to the source for what it has given, in ms. @default 10 000 */
  readonly minIntervalMs?: number
  /** Time for which a source that failed is left alone, doubled with each failure, in ms. @default 2 000 */
  readonly backOffMs?: number
  /** @default 120 000 */
  readonly maxBackOffMs?: number
}

const DEFAULTS: Required<CredentialCacheOptions> = Object.freeze({
  maxEntries: 500,
  timeoutMs: 20_000,
  patienceMs: 8_000,
  maxAgeMs: 300_000,
  earlyPart: 0.1,
  minIntervalMs: 10_000,
  backOffMs: 2_000,
  maxBackOffMs: 120_000
})

interface Entry<Value> extends Issued<Value> {
  readonly askedAt: number
  /** From when on it is asked for anew, in the background while it holds. */
  readonly staleAt: number
}

/** What the source is being asked. */
interface Question<Value> {
  readonly answer: Promise<Issued<Value>>
  /** Ends when nobody is to wait any longer. */
  readonly patience: AbortSignal
}

interface Failure {
  readonly error: unknown
  readonly until: number
  readonly delayMs: number
}

export type CredentialCacheComponents = Pick<CredentialComponents, 'clock' | 'log' | 'stopped'> & {
  /** The source, for logs and messages. */
  readonly name: string
}

/**
 * What sources gave, by key. It asks once for all who wait for the same; asks anew before something expires, and gives
 * what still holds while the source is slow or fails; leaves a source that failed alone for a while.
 */
export class CredentialCache<Value> {
  readonly #components: CredentialCacheComponents
  readonly #options: Required<CredentialCacheOptions>
  readonly #entries: LRUCache<string, Entry<Value>>
  readonly #failures: LRUCache<string, Failure>
  readonly #asking = new Map<string, Question<Value>>()

  constructor(components: CredentialCacheComponents, options: CredentialCacheOptions = {}) {
    this.#components = components
    this.#options = { ...DEFAULTS, ...options }
    this.#entries = new LRUCache({ max: this.#options.maxEntries })
    this.#failures = new LRUCache({ max: this.#options.maxEntries })
  }

  /**
   * @param keys under which it may be kept, the narrowest first; who asks for the same first key at one time shares one question
   * @param signal ends the wait of this caller only
   * @throws whatever `issue` throws, also again while its source is left alone
   */
  async get(
    host: string,
    keys: readonly [string, ...string[]],
    issue: (signal: AbortSignal) => Promise<Issued<Value>>,
    signal: AbortSignal
  ): Promise<Issued<Value>> {
    const now = this.#components.clock()
    const entry = this.#find(keys, now)
    if (entry !== undefined && now < entry.staleAt) return entry
    const [key] = keys
    const failure = this.#failures.get(key)
    const isLeftAlone = failure !== undefined && now < failure.until
    if (entry !== undefined) {
      if (!isLeftAlone) this.#ask(host, key, issue).answer.catch(() => {})
      return entry
    }
    if (isLeftAlone) throw failure.error
    return await this.#wait(host, this.#ask(host, key, issue), signal)
  }

  async #wait(host: string, { answer, patience }: Question<Value>, signal: AbortSignal): Promise<Issued<Value>> {
    answer.catch(() => {})
    try {
      return await unlessAborted(answer, AbortSignal.any([signal, patience]))
    } catch (error) {
      signal.throwIfAborted()
      throw patience.aborted && error === patience.reason ? this.#failure(host, 'did not come yet') : error
    }
  }

  /**
   * Has what fits asked for anew before it is given again, but not more often than the least interval, so that a source
   * which has nothing better is not asked for each request.
   */
  refuse(fits: (value: Value) => boolean): void {
    const now = this.#components.clock()
    for (const [key, entry] of this.#entries.entries()) {
      if (!fits(entry.value)) continue
      if (now - entry.askedAt >= this.#options.minIntervalMs) this.#entries.delete(key)
    }
  }

  #find(keys: readonly string[], now: number): Entry<Value> | undefined {
    for (const key of keys) {
      const entry = this.#entries.get(key)
      if (entry !== undefined && (entry.expiresAt === undefined || now < entry.expiresAt)) return entry
    }
    return undefined
  }

  #ask(host: string, key: string, issue: (signal: AbortSignal) => Promise<Issued<Value>>): Question<Value> {
    const asking = this.#asking.get(key)
    if (asking !== undefined) return asking
    const answer = this.#issue(host, key, issue).finally(() => this.#asking.delete(key))
    const asked = { answer, patience: AbortSignal.timeout(this.#options.patienceMs) }
    this.#asking.set(key, asked)
    return asked
  }

  async #issue(
    host: string,
    key: string,
    issue: (signal: AbortSignal) => Promise<Issued<Value>>
  ): Promise<Issued<Value>> {
    const { clock, stopped } = this.#components
    const { timeoutMs, minIntervalMs } = this.#options
    const deadline = AbortSignal.timeout(timeoutMs)
    const signal = AbortSignal.any([deadline, stopped])
    try {
      const issued = atLeast(clock() + minIntervalMs, await unlessAborted(issue(signal), signal))
      if (issued.noStore !== true) this.#keep(key, issued)
      this.#failures.delete(key)
      return issued
    } catch (reason) {
      const error = deadline.aborted ? this.#failure(host, `came not within ${timeoutMs} ms`) : this.#safe(host, reason)
      if (!stopped.aborted) this.#leaveAlone(host, key, error)
      throw error
    }
  }

  #keep(key: string, issued: Issued<Value>): void {
    const { maxAgeMs, earlyPart, minIntervalMs } = this.#options
    const askedAt = this.#components.clock()
    const { expiresAt } = issued
    const lifeMs = expiresAt === undefined ? maxAgeMs : (expiresAt - askedAt) * (1 - earlyPart)
    this.#entries.set(issued.key ?? key, { ...issued, askedAt, staleAt: askedAt + Math.max(lifeMs, minIntervalMs) })
  }

  #leaveAlone(host: string, key: string, error: Error): void {
    const { clock, log, name } = this.#components
    const { backOffMs, maxBackOffMs } = this.#options
    const before = this.#failures.get(key)
    const delayMs = Math.min(before === undefined ? backOffMs : before.delayMs * 2, maxBackOffMs)
    this.#failures.set(key, { error, delayMs, until: clock() + delayMs })
    log.warn({ source: name, registry: host, reason: error.message }, 'no credentials for this registry')
  }

  /** Errors that are not of our own making may quote what was read, as those of JSON.parse do. */
  #safe(host: string, reason: unknown): Error {
    return isUpstreamError(reason) ? reason : this.#failure(host, 'can not be had: an unexpected failure')
  }

  #failure(host: string, what: string): Error {
    return unavailable(host, `the credentials for ${host} from ${this.#components.name} ${what}`)
  }
}

/** What expires at once by our clock, which may be wrong, is asked for anew after a while all the same, not each time. */
function atLeast<Value>(until: number, issued: Issued<Value>): Issued<Value> {
  if (issued.expiresAt === undefined || issued.expiresAt >= until) return issued
  return { ...issued, expiresAt: until }
}

import { LRUCache } from 'lru-cache'

export interface LeftAloneComponents {
  /** Milliseconds of a clock that never goes back. */
  now(): number
  /** Something is left alone from now on, that was not before. @param reason as {@link Pass.failed} was told */
  onLeft?(key: string, forMs: number, reason: string | undefined): void
  /** It is asked again as before. */
  onTaken?(key: string): void
}

export interface LeftAloneOptions {
  /** How long something is left alone after a failure, doubled with each probe that fails. */
  readonly pauseMs: number
  readonly maxPauseMs: number
}

export interface Failure {
  readonly pauseMs?: number | undefined
  readonly tolerated?: number
  readonly reason?: string | undefined
}

/** What may be done with something that is asked: it has to be ended. */
export interface Pass {
  /** Whether all others wait for how this one goes. */
  readonly isProbe: boolean
  succeeded(): void
  /**
   * @param pauseMs how long it asked to be left alone, within bounds
   * @param tolerated so many failures in a row change nothing
   * @param reason in a word, for logs
   */
  failed(options?: Failure): void
  /** Nothing was found out, unless one of the others was called before. */
  end(): void
}

interface State {
  failures: number
  /** When it may be asked again; undefined while it is not left alone. */
  until: number | undefined
  pauseMs: number
  probing: boolean
}

/** Others than those asked last are forgotten, which has them asked again. */
const MAX_KEYS = 500
/** What is told to those who come while a probe is under way. */
const PROBE_MS = 1_000
/** Who asks to be left alone for no time at all, or until a time that is over, is not asked at once for all that. */
const MIN_ASKED_MS = 1_000

/**
 * What failed is left alone for a while; then one request probes it, and the others wait for how that goes. The wait
 * doubles with each probe that fails.
 */
export class LeftAlone {
  readonly #components: LeftAloneComponents
  readonly #options: LeftAloneOptions
  readonly #states = new LRUCache<string, State>({ max: MAX_KEYS })

  constructor(components: LeftAloneComponents, options: LeftAloneOptions) {
    this.#components = components
    this.#options = options
  }

  /** @returns a pass, or for how many ms it must be left alone */
  enter(key: string): Pass | number {
    const state = this.#states.get(key)
    if (state?.until === undefined) return this.#pass(key, false)
    const waitMs = state.until - this.#components.now()
    if (waitMs > 0 || state.probing) return Math.max(waitMs, PROBE_MS)
    state.probing = true
    return this.#pass(key, true)
  }

  #pass(key: string, isProbe: boolean): Pass {
    let ended = false
    const once = (act: () => void) => () => {
      if (ended) return
      ended = true
      act()
    }
    return {
      isProbe,
      succeeded: once(() => this.#succeeded(key)),
      failed: (failure = {}) => once(() => this.#failed(key, isProbe, failure))(),
      end: once(() => {
        const state = this.#states.peek(key)
        if (isProbe && state !== undefined) state.probing = false
      })
    }
  }

  #succeeded(key: string): void {
    const wasLeft = this.#states.peek(key)?.until !== undefined
    this.#states.delete(key)
    if (wasLeft) this.#components.onTaken?.(key)
  }

  #failed(key: string, isProbe: boolean, { pauseMs: asked, tolerated = 0, reason }: Failure): void {
    const { pauseMs, maxPauseMs } = this.#options
    const state = this.#states.get(key) ?? { failures: 0, until: undefined, pauseMs, probing: false }
    this.#states.set(key, state)
    state.failures++
    if (isProbe) state.probing = false
    if (!isProbe && state.failures <= tolerated) return
    const wasLeft = state.until !== undefined
    // What was under way when it began to fail says nothing new.
    if (wasLeft && !isProbe && asked === undefined) return
    if (isProbe) state.pauseMs = Math.min(2 * state.pauseMs, maxPauseMs)
    const forMs = Math.min(
      asked === undefined ? state.pauseMs : Math.max(asked, Math.min(MIN_ASKED_MS, pauseMs)),
      maxPauseMs
    )
    state.until = this.#components.now() + forMs
    if (!wasLeft) this.#components.onLeft?.(key, forMs, reason)
  }
}

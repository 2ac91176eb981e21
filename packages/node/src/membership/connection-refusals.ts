import type { RefusalReason } from '@layermesh/mesh'
import { LRUCache } from 'lru-cache'

/** A connection that was not let in, or was ended, for who the peer is. */
export interface RefusedConnection {
  readonly reason: RefusalReason
  /** When it proved who it is. */
  readonly peerId?: string
  readonly detail: string
}

export interface ConnectionRefusalsComponents {
  count(reason: RefusalReason): void
  readonly log: { warn(fields: object, message: string): void }
  /** In ms, of a clock that never goes back. */
  now(): number
}

const MINUTE_MS = 60_000
const PEERS_REMEMBERED = 1_024
/** Whoever knocks may have another peer id each time. */
const LINES_PER_MINUTE = 20

/**
 * Counts all refused connections, and logs one in a minute of each peer and reason, and no more than a few in all: a
 * flood must not flood the log.
 */
export class ConnectionRefusals {
  readonly #components: ConnectionRefusalsComponents
  readonly #logged = new LRUCache<string, { at: number; since: number }>({ max: PEERS_REMEMBERED })
  #minute = 0
  #lines = 0

  constructor(components: ConnectionRefusalsComponents) {
    this.#components = components
  }

  refused(refusal: RefusedConnection): void {
    const { count, log, now } = this.#components
    count(refusal.reason)
    const key = `${refusal.reason} ${refusal.peerId ?? ''}`
    const before = this.#logged.get(key)
    if (before && now() - before.at < MINUTE_MS) {
      before.since++
      return
    }
    if (!this.#hasRoom()) return
    this.#logged.set(key, { at: now(), since: 0 })
    log.warn({ ...refusal, ...(before?.since && { moreBefore: before.since }) }, 'refused a connection')
  }

  #hasRoom(): boolean {
    const minute = Math.floor(this.#components.now() / MINUTE_MS)
    this.#lines = minute === this.#minute ? this.#lines + 1 : 1
    this.#minute = minute
    return this.#lines <= LINES_PER_MINUTE
  }
}

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

const LOG_EVERY_MS = 60_000
const PEERS_REMEMBERED = 1_024

/** Counts all refused connections, and logs one in a minute of each peer and reason: a flood must not flood the log. */
export class ConnectionRefusals {
  readonly #components: ConnectionRefusalsComponents
  readonly #logged = new LRUCache<string, { at: number; since: number }>({ max: PEERS_REMEMBERED })

  constructor(components: ConnectionRefusalsComponents) {
    this.#components = components
  }

  refused(refusal: RefusedConnection): void {
    const { count, log, now } = this.#components
    count(refusal.reason)
    const key = `${refusal.reason} ${refusal.peerId ?? ''}`
    const before = this.#logged.get(key)
    if (before && now() - before.at < LOG_EVERY_MS) {
      before.since++
      return
    }
    this.#logged.set(key, { at: now(), since: 0 })
    log.warn({ ...refusal, ...(before?.since && { moreBefore: before.since }) }, 'refused a connection')
  }
}

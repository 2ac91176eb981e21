import type { Digest } from '@layermesh/oci'
import { LEASE_DEFAULTS, type LeaseAction, type LeaseEvent, type LeaseOptions } from './lease-events.ts'

type EventOf<T extends LeaseEvent['type']> = Extract<LeaseEvent, { type: T }>

interface Lease {
  readonly digest: Digest
  /** Who brings the blob in, and when it was heard last. */
  readonly holders: Map<string, { heardAt: number }>
  /** Who waits, the first asker first, and whether it would bring the blob in itself. */
  readonly waiting: Map<string, { readonly fetches: boolean }>
  /** Who could not get it, how often and when last. */
  readonly failed: Map<string, { tries: number; at: number }>
  /** Who has brought it in. */
  source: { readonly peer: string; readonly at: number } | undefined
}

/**
 * The arbiter's part: who of a zone brings a blob into the mesh. A state machine like {@link Swarm}: it takes what
 * happened and the time, and returns whom to tell what.
 *
 * Invariants: at most `maxHolders` hold a lease, a second one only when somebody gets nothing from the first; a lease
 * whose holder is gone, silent or failed goes to the first who waits; whoever waits is told of each new holder, and of
 * the end when nobody may try any more; all that is kept has a bound.
 */
export class LeaseBook {
  readonly #options: LeaseOptions
  readonly #leases = new Map<string, Lease>()
  /** The keys of the leases that a peer holds, waits for, or is remembered in. */
  readonly #byPeer = new Map<string, Set<string>>()
  #tickedAt: number | undefined

  constructor(options: Partial<LeaseOptions> = {}) {
    this.#options = { ...LEASE_DEFAULTS, ...options }
  }

  /** Leases that are kept. */
  get size(): number {
    return this.#leases.size
  }

  /** @param now milliseconds of any clock that never goes back */
  step(now: number, event: LeaseEvent): LeaseAction[] {
    const actions: LeaseAction[] = []
    switch (event.type) {
      case 'acquire':
      case 'follow':
        this.ask(now, event, actions)
        break
      case 'renew': {
        const holder = this.#leases.get(keyOf(event))?.holders.get(event.peer)
        if (holder) holder.heardAt = now
        break
      }
      case 'release':
        this.release(now, event, actions)
        break
      case 'gone':
        for (const key of this.#byPeer.get(event.peer) ?? []) this.depart(now, key, event.peer, actions)
        this.#byPeer.delete(event.peer)
        break
      case 'tick':
        this.forgiveOwnStall(now)
        for (const [key, lease] of [...this.#leases]) this.tick(now, key, lease, actions)
        for (const peer of this.#byPeer.keys()) this.prune(peer)
    }
    return actions
  }

  private ask(now: number, event: EventOf<'acquire'> | EventOf<'follow'>, actions: LeaseAction[]): void {
    const { peer, digest } = event
    const key = keyOf(event)
    const lease = this.open(key, digest, peer)
    if (!lease) return void actions.push({ type: 'refused', peer, digest, reason: 'busy' })
    this.expire(now, lease)
    if (event.type === 'acquire') this.expect(now, key, lease, event)
    const held = lease.holders.get(peer)
    if (held) {
      held.heardAt = now
      return void actions.push({ type: 'granted', peer, digest })
    }
    const fetches = event.type === 'acquire' && this.mayTry(lease, peer)
    lease.waiting.set(peer, { fetches })
    if (fetches && this.mayHold(lease, event)) return this.grant(now, lease, peer, actions)
    const holder = holderOf(lease)
    if (holder !== undefined) return void actions.push({ type: 'held', peer, digest, holder })
    if (!lease.source) this.refuseAll(lease, actions)
    this.forgetIfEmpty(key, lease)
  }

  /** A lease that is new here may have a holder already, who has as long as any to be heard of. */
  private expect(now: number, key: string, lease: Lease, { peer, holder, stalled }: EventOf<'acquire'>): void {
    const { holders, waiting, failed, source } = lease
    if (holder === undefined || holder === peer || stalled) return
    if (holders.size + waiting.size + failed.size > 0 || source) return
    holders.set(holder, { heardAt: now })
    const keys = this.#byPeer.get(holder) ?? new Set<string>()
    this.#byPeer.set(holder, keys.add(key))
  }

  /** Whether the peer may be given the lease now; whoever waits for nobody's turn has asked first. */
  private mayHold(lease: Lease, { peer, stalled = false, holding = false }: EventOf<'acquire'>): boolean {
    const { holders, source } = lease
    if (holders.size === 0) return stalled || holding || source === undefined || source.peer === peer
    return stalled && holders.size < this.#options.maxHolders
  }

  private mayTry(lease: Lease, peer: string): boolean {
    const { maxFailedPeers, maxTriesPerPeer } = this.#options
    return lease.failed.size < maxFailedPeers && (lease.failed.get(peer)?.tries ?? 0) < maxTriesPerPeer
  }

  private grant(now: number, lease: Lease, peer: string, actions: LeaseAction[]): void {
    const { digest, waiting, holders } = lease
    waiting.delete(peer)
    holders.set(peer, { heardAt: now })
    actions.push({ type: 'granted', peer, digest })
    for (const other of waiting.keys()) actions.push({ type: 'held', peer: other, digest, holder: peer })
  }

  private release(now: number, event: EventOf<'release'>, actions: LeaseAction[]): void {
    const { peer, reason } = event
    const key = keyOf(event)
    const lease = this.#leases.get(key)
    if (!lease) return
    lease.waiting.delete(peer)
    if (lease.holders.delete(peer)) {
      if (reason === 'done') this.brought(now, lease, peer, actions)
      if (reason === 'failed') lease.failed.set(peer, { tries: (lease.failed.get(peer)?.tries ?? 0) + 1, at: now })
      if (reason !== 'done') this.passOn(now, lease, actions)
    }
    this.forgetIfEmpty(key, lease)
  }

  /** It has all of the blob: whoever waits gets it there, from now on also one that is too small to be shared before. */
  private brought(now: number, lease: Lease, peer: string, actions: LeaseAction[]): void {
    lease.source = { peer, at: now }
    for (const other of lease.waiting.keys()) {
      actions.push({ type: 'held', peer: other, digest: lease.digest, holder: peer })
    }
  }

  /** A peer is not there any more. */
  private depart(now: number, key: string, peer: string, actions: LeaseAction[]): void {
    const lease = this.#leases.get(key)
    if (!lease) return
    lease.waiting.delete(peer)
    if (lease.source?.peer === peer) lease.source = undefined
    if (lease.holders.delete(peer)) this.passOn(now, lease, actions)
    this.forgetIfEmpty(key, lease)
  }

  /** Nobody may be left who brings the blob in: the first who waits does. */
  private passOn(now: number, lease: Lease, actions: LeaseAction[]): void {
    if (lease.holders.size > 0) return
    for (const [peer, { fetches }] of lease.waiting) {
      if (fetches && this.mayTry(lease, peer)) return this.grant(now, lease, peer, actions)
    }
    if (!lease.source) this.refuseAll(lease, actions)
  }

  private refuseAll({ digest, waiting }: Lease, actions: LeaseAction[]): void {
    for (const peer of waiting.keys()) actions.push({ type: 'refused', peer, digest, reason: 'failed' })
    waiting.clear()
  }

  private tick(now: number, key: string, lease: Lease, actions: LeaseAction[]): void {
    this.expire(now, lease)
    for (const [peer, { heardAt }] of lease.holders) {
      if (now - heardAt < this.#options.lapseMs) continue
      lease.holders.delete(peer)
      // It comes last, and is told whose turn it is.
      lease.waiting.set(peer, { fetches: true })
      this.passOn(now, lease, actions)
    }
    this.forgetIfEmpty(key, lease)
  }

  private expire(now: number, lease: Lease): void {
    const { sourceMs, failureMs } = this.#options
    if (lease.source && now - lease.source.at >= sourceMs) lease.source = undefined
    for (const [peer, { at }] of lease.failed) if (now - at >= failureMs) lease.failed.delete(peer)
  }

  /** The lease, made if there is none; undefined when there is no room for it. */
  private open(key: string, digest: Digest, peer: string): Lease | undefined {
    const keys = this.#byPeer.get(peer) ?? new Set<string>()
    if (keys.size >= this.#options.maxPerPeer) this.prune(peer)
    if (!keys.has(key) && keys.size >= this.#options.maxPerPeer) return undefined
    let lease = this.#leases.get(key)
    if (!lease) {
      if (this.#leases.size >= this.#options.maxLeases) return undefined
      lease = { digest, holders: new Map(), waiting: new Map(), failed: new Map(), source: undefined }
      this.#leases.set(key, lease)
    }
    keys.add(key)
    this.#byPeer.set(peer, keys)
    return lease
  }

  private forgetIfEmpty(key: string, { holders, waiting, failed, source }: Lease): void {
    if (holders.size + waiting.size + failed.size === 0 && !source) this.#leases.delete(key)
  }

  /** Drops the leases that have nothing to do with a peer any more from those that count as its. */
  private prune(peer: string): void {
    const keys = this.#byPeer.get(peer)
    for (const key of keys ?? []) {
      const lease = this.#leases.get(key)
      const concerned = lease && (lease.holders.has(peer) || lease.waiting.has(peer) || lease.source?.peer === peer)
      if (!concerned && !lease?.failed.has(peer)) keys?.delete(key)
    }
    if (keys?.size === 0) this.#byPeer.delete(peer)
  }

  /** When this process stood still, the holders are not to blame for the gap. */
  private forgiveOwnStall(now: number): void {
    const gap = now - (this.#tickedAt ?? now)
    this.#tickedAt = now
    if (gap < this.#options.lapseMs / 2) return
    for (const { holders } of this.#leases.values()) for (const holder of holders.values()) holder.heardAt += gap
  }
}

/** Whom others take the blob from: who holds the lease for the shortest time, since the one before may bring nothing. */
function holderOf({ holders, source }: Lease): string | undefined {
  return [...holders.keys()].at(-1) ?? source?.peer
}

function keyOf({ zone, digest }: { zone: string; digest: Digest }): string {
  return `${zone} ${digest}`
}

import type { Digest } from '@layermesh/oci'
import { BlobState, type Source } from './blob-state.ts'
import type { BanReason, PieceFailure, SwarmAction, SwarmEvent } from './events.ts'
import { SWARM_DEFAULTS, type SwarmOptions } from './options.ts'

/** What this node owes attention about one peer, over all blobs. */
interface PeerState {
  outstandingBytes: number
  /** When the peer last sent anything, or was first asked after it owed nothing. */
  activeAt: number
  pausedUntil: number
}

/**
 * Decides who is asked for which piece, when. A state machine: {@link step} takes what happened and the time, and
 * returns what is to be done; it has no clock, no socket and no randomness, so the same events give the same actions.
 *
 * Invariants: a piece is asked of one peer at a time; no more bytes are outstanding than the options allow; a banned
 * peer is asked for nothing until it joins again.
 */
export class Swarm {
  readonly #options: SwarmOptions
  readonly #blobs = new Map<Digest, BlobState>()
  readonly #peers = new Map<string, PeerState>()
  #outstandingBytes = 0
  #lastStepAt = 0

  constructor(options: Partial<SwarmOptions> = {}) {
    this.#options = { ...SWARM_DEFAULTS, ...options }
  }

  /** @param now milliseconds of any clock that never goes back */
  step(now: number, event: SwarmEvent): SwarmAction[] {
    const actions: SwarmAction[] = []
    this.forgiveOwnStall(now)
    this.apply(now, event, actions)
    this.checkDeadlines(now, actions)
    this.assign(now, actions)
    return actions
  }

  private apply(now: number, event: SwarmEvent, actions: SwarmAction[]): void {
    switch (event.type) {
      case 'want':
        return this.want(now, event, actions)
      case 'stop':
        return this.stop(event.digest, actions)
      case 'peer-gone':
        for (const blob of this.#blobs.values()) this.drop(blob, event.peer, actions, false)
        this.#peers.delete(event.peer)
        return
      case 'progress': {
        const peer = this.#peers.get(event.peer)
        if (peer) peer.activeAt = now
        return
      }
      case 'tick':
        return
      default: {
        const blob = this.#blobs.get(event.digest)
        if (blob) this.applyToBlob(now, blob, event, actions)
      }
    }
  }

  private applyToBlob(now: number, blob: BlobState, event: BlobEvent, actions: SwarmAction[]): void {
    switch (event.type) {
      case 'peer-joined':
        blob.sources.set(event.peer, { peer: event.peer, scope: event.scope, pieces: event.pieces })
        blob.lastProgressAt = now
        return
      case 'peer-has':
        for (const piece of event.pieces) blob.sources.get(event.peer)?.pieces.set(piece)
        return
      case 'peer-left':
        return this.drop(blob, event.peer, actions, true)
      case 'piece-arrived':
        this.release(blob, event.piece, event.peer)
        blob.keep(event.piece)
        blob.lastProgressAt = now
        if (blob.complete) {
          this.stop(blob.digest, actions)
          actions.push({ type: 'complete', digest: blob.digest })
        }
        return
      case 'piece-failed':
        return this.fail(now, blob, event.peer, event.piece, event.reason, actions)
      case 'awaited':
        return blob.awaits(event.piece)
      case 'search-ended':
        blob.searching = false
    }
  }

  private want(now: number, event: Extract<SwarmEvent, { type: 'want' }>, actions: SwarmAction[]): void {
    const blob = new BlobState(event, now)
    if (blob.complete) actions.push({ type: 'complete', digest: blob.digest })
    else this.#blobs.set(event.digest, blob)
  }

  private stop(digest: Digest, actions: SwarmAction[]): void {
    const blob = this.#blobs.get(digest)
    if (!blob) return
    for (const peer of [...blob.sources.keys()]) this.drop(blob, peer, actions, true)
    this.#blobs.delete(digest)
  }

  /** Takes a source away from a blob; what was asked of it is open again. */
  private drop(blob: BlobState, peer: string, actions: SwarmAction[], cancel: boolean): void {
    for (const [piece, asked] of blob.requested) {
      if (asked !== peer) continue
      this.release(blob, piece, peer)
      if (cancel) actions.push({ type: 'cancel', digest: blob.digest, peer, piece })
    }
    blob.sources.delete(peer)
  }

  private fail(
    now: number,
    blob: BlobState,
    peer: string,
    piece: number,
    reason: PieceFailure,
    actions: SwarmAction[]
  ): void {
    this.release(blob, piece, peer)
    const source = blob.sources.get(peer)
    if (reason === 'wrong-bytes' || reason === 'malformed')
      this.ban(peer, reason, this.#options.misbehavedBanMs, actions)
    else if (reason === 'not-held') source?.pieces.clear(piece)
    else if (reason === 'busy') this.peer(peer, now).pausedUntil = now + this.#options.busyPauseMs
    else blob.sources.delete(peer)
  }

  private ban(peer: string, reason: BanReason, forMs: number, actions: SwarmAction[]): void {
    for (const blob of this.#blobs.values()) this.drop(blob, peer, actions, true)
    this.#peers.delete(peer)
    actions.push({ type: 'ban', peer, reason, forMs })
  }

  private checkDeadlines(now: number, actions: SwarmAction[]): void {
    for (const [peer, state] of this.#peers) {
      if (state.outstandingBytes > 0 && now - state.activeAt >= this.#options.silentAfterMs) {
        this.ban(peer, 'silent', this.#options.silentBanMs, actions)
      }
    }
    for (const blob of [...this.#blobs.values()]) {
      if (now - blob.lastProgressAt >= this.#options.giveUpAfterMs) {
        this.stop(blob.digest, actions)
        actions.push({ type: 'give-up', digest: blob.digest })
      } else if (!blob.searching && now - blob.lastSearchAt >= this.#options.searchPauseMs && blob.lacksSource()) {
        blob.searching = true
        blob.lastSearchAt = now
        actions.push({ type: 'find-peers', digest: blob.digest })
      }
    }
  }

  /** When this process stood still (a stopped debugger, a suspended host), the peers are not to blame for the gap. */
  private forgiveOwnStall(now: number): void {
    const gap = now - this.#lastStepAt
    if (gap >= this.#options.silentAfterMs / 2) {
      for (const peer of this.#peers.values()) peer.activeAt = now
      for (const blob of this.#blobs.values()) blob.lastProgressAt = Math.min(now, blob.lastProgressAt + gap)
    }
    this.#lastStepAt = now
  }

  /**
   * Hands out what may be outstanding, piece by piece: blobs that a reader waits for come first, and among equals the
   * one that has least on its way, so that no blob starves behind another.
   */
  private assign(now: number, actions: SwarmAction[]): void {
    const open = [...this.#blobs.values()].map((blob) => ({ blob, wanted: blob.wanted(this.#options.readAheadPieces) }))
    while (open.length > 0 && this.#outstandingBytes < this.#options.maxOutstandingBytes) {
      const next = open.reduce((best, each) => (comesBefore(each.blob, best.blob) ? each : best))
      if (!this.assignOne(now, next.blob, next.wanted, actions)) open.splice(open.indexOf(next), 1)
    }
    for (const blob of this.#blobs.values()) {
      // It waits for its turn, not for its sources.
      if (blob.requested.size === 0 && blob.sources.size > 0 && this.isHeldBack(blob, now)) blob.lastProgressAt = now
    }
  }

  /** @returns false when nothing of the blob can be asked now */
  private assignOne(now: number, blob: BlobState, wanted: Generator<number>, actions: SwarmAction[]): boolean {
    if (![...blob.sources.values()].some((source) => this.hasRoom(source.peer, now))) return false
    for (let next = wanted.next(); !next.done; next = wanted.next()) {
      const piece = next.value
      const source = this.bestSource(now, blob, piece)
      if (!source) continue
      const bytes = blob.bytesOf(piece)
      const peer = this.peer(source.peer, now)
      if (peer.outstandingBytes === 0) peer.activeAt = now
      peer.outstandingBytes += bytes
      this.#outstandingBytes += bytes
      blob.requested.set(piece, source.peer)
      actions.push({ type: 'request', digest: blob.digest, peer: source.peer, piece })
      return true
    }
    return false
  }

  private isHeldBack(blob: BlobState, now: number): boolean {
    const full = this.#outstandingBytes >= this.#options.maxOutstandingBytes
    return (
      full || [...blob.sources.values()].some((source) => source.pieces.count > 0 && !this.hasRoom(source.peer, now))
    )
  }

  /** Near peers before far ones, and of these the one that owes least. */
  private bestSource(now: number, blob: BlobState, piece: number): Source | undefined {
    let best: Source | undefined
    for (const source of blob.sources.values()) {
      if (!source.pieces.has(piece) || !this.hasRoom(source.peer, now)) continue
      if (!best || this.rank(source) < this.rank(best)) best = source
    }
    return best
  }

  private rank(source: Source): number {
    const far = source.scope === 'far' ? Number.MAX_SAFE_INTEGER / 2 : 0
    return far + (this.#peers.get(source.peer)?.outstandingBytes ?? 0)
  }

  private hasRoom(peer: string, now: number): boolean {
    const state = this.#peers.get(peer)
    return !state || (state.outstandingBytes < this.#options.maxOutstandingBytesPerPeer && now >= state.pausedUntil)
  }

  private peer(peer: string, now: number): PeerState {
    let state = this.#peers.get(peer)
    if (!state) {
      state = { outstandingBytes: 0, activeAt: now, pausedUntil: 0 }
      this.#peers.set(peer, state)
    }
    return state
  }

  /** A request has ended: its bytes are no longer outstanding and the piece may be asked again. */
  private release(blob: BlobState, piece: number, peer: string): void {
    if (blob.requested.get(piece) !== peer) return
    blob.requested.delete(piece)
    const bytes = blob.bytesOf(piece)
    this.#outstandingBytes -= bytes
    const state = this.#peers.get(peer)
    if (state) state.outstandingBytes -= bytes
  }
}

type BlobEvent = Exclude<SwarmEvent, { type: 'want' | 'stop' | 'peer-gone' | 'progress' | 'tick' }>

function comesBefore(one: BlobState, other: BlobState): boolean {
  if (one.urgent !== other.urgent) return one.urgent
  return one.requested.size < other.requested.size
}

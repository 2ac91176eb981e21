import type { Digest } from '@layermesh/oci'
import { BlobState } from './blob-state.ts'
import type { BanReason, PieceFailure, SwarmAction, SwarmEvent } from './events.ts'
import { findHedge } from './hedging.ts'
import { SWARM_DEFAULTS, type SwarmOptions } from './options.ts'
import { PeerState } from './peer-state.ts'
import { pickPiece } from './piece-picker.ts'
import { Source, type SourceKind } from './source.ts'
import { TokenBucket } from './token-bucket.ts'

type EventOf<T extends SwarmEvent['type']> = Extract<SwarmEvent, { type: T }>
type BlobEvent = Exclude<SwarmEvent, { type: 'want' | 'stop' | 'peer-gone' | 'progress' | 'tick' }>

const PREFERENCE: Readonly<Record<SourceKind, number>> = { member: 0, origin: 1, far: 2 }

/**
 * The asking side: decides who is asked for which piece, when. A state machine: {@link step} takes what happened and the
 * time, and returns what is to be done; it has no clock, no socket and no randomness, so the same events give the same
 * actions. Deadlines are looked at with each `tick`, which is due every 100 ms or so while a blob is wanted.
 *
 * Invariants: no more is owed than the options allow; a piece is asked of one peer at a time, but for a bounded number
 * that are late; a banned peer is asked for nothing until it joins again; what is far, or an origin has, is brought in
 * by one member of the zone.
 */
export class Swarm {
  readonly #self: string
  readonly #options: SwarmOptions
  readonly #blobs = new Map<Digest, BlobState>()
  readonly #peers = new Map<string, PeerState>()
  readonly #bucket: TokenBucket
  readonly #farBucket: TokenBucket
  #owedBytes = 0
  #lastTickAt: number | undefined
  #toldFetchingAt = 0

  /** @param self peer id of this node */
  constructor(self: string, options: Partial<SwarmOptions> = {}) {
    this.#self = self
    this.#options = { ...SWARM_DEFAULTS, ...options }
    this.#bucket = new TokenBucket(this.#options.bytesPerSecond)
    this.#farBucket = new TokenBucket(this.#options.farBytesPerSecond)
  }

  /** @param now milliseconds of any clock that never goes back */
  step(now: number, event: SwarmEvent): SwarmAction[] {
    const actions: SwarmAction[] = []
    this.apply(now, event, actions)
    this.assign(now, actions)
    return actions
  }

  /** Whether nothing is wanted and no peer has anything to answer, so that no tick is needed. */
  get idle(): boolean {
    return this.#blobs.size === 0 && ![...this.#peers.values()].some((peer) => peer.owes)
  }

  /** Bytes that were asked for and are not wholly here. */
  get owedBytes(): number {
    return this.#owedBytes
  }

  /** The pieces of a blob that this node brings in from an origin or from afar at this moment. */
  fetching(digest: Digest): number[] {
    const blob = this.#blobs.get(digest)
    if (!blob) return []
    return [...blob.requests].flatMap(([piece, requests]) =>
      requests.some(({ peer }) => blob.sources.get(peer)?.kind !== 'member') ? [piece] : []
    )
  }

  /** What a gateway has to bring in next: the first piece other than `except` that is not here and that no peer offers. */
  firstUnoffered(digest: Digest, except?: number): number | undefined {
    return this.#blobs.get(digest)?.firstUnoffered(except)
  }

  /**
   * When payload of a blob came last, and when anything else was heard of it, by the clock of {@link step}; undefined
   * when it is not wanted.
   */
  lastHeard(digest: Digest): { readonly payloadAt: number; readonly progressAt: number } | undefined {
    const blob = this.#blobs.get(digest)
    return blob && { payloadAt: blob.payloadAt, progressAt: blob.lastProgressAt }
  }

  private apply(now: number, event: SwarmEvent, actions: SwarmAction[]): void {
    switch (event.type) {
      case 'want':
        return this.want(now, event, actions)
      case 'stop':
        return this.stop(now, event.digest, actions)
      case 'peer-gone':
        for (const blob of this.#blobs.values()) this.drop(now, blob, event.peer, actions, false)
        this.#peers.delete(event.peer)
        return
      case 'progress':
        this.#peers.get(event.peer)?.progress(now, event.bytes)
        return
      case 'tick':
        return this.tick(now, actions)
      default: {
        const blob = this.#blobs.get(event.digest)
        if (blob) this.applyToBlob(now, blob, event, actions)
      }
    }
  }

  private applyToBlob(now: number, blob: BlobState, event: BlobEvent, actions: SwarmAction[]): void {
    switch (event.type) {
      case 'peer-joined':
        return this.join(now, blob, event)
      case 'peer-has': {
        const source = blob.sources.get(event.peer)
        if (source) for (const piece of event.pieces) blob.addPiece(source, piece)
        return
      }
      case 'peer-fetching':
        return this.noteBrought(now, blob, event.peer, event.pieces)
      case 'peer-left':
        return this.drop(now, blob, event.peer, actions, true)
      case 'piece-arrived':
        return this.arrived(now, blob, event.piece, event.peer, actions)
      case 'piece-failed':
        return this.fail(now, blob, event, actions)
      case 'awaited':
        if (event.piece >= 0 && event.piece < blob.held.length)
          blob.readers.awaits(event.piece, now, (piece) => blob.held.has(piece))
        blob.state++
        return
      case 'gateway':
        blob.gateway = event.on
        blob.state++
        return
      case 'entered':
        if (event.piece !== undefined) return this.arrived(now, blob, event.piece, undefined, actions)
        blob.payloadAt = now
        blob.lastProgressAt = now
        return
      case 'search-ended':
        blob.searching = false
    }
  }

  private want(now: number, event: EventOf<'want'>, actions: SwarmAction[]): void {
    const blob = new BlobState(event, this.#self, now, this.#options)
    if (blob.complete) actions.push({ type: 'complete', digest: blob.digest })
    else this.#blobs.set(event.digest, blob)
  }

  private stop(now: number, digest: Digest, actions: SwarmAction[]): void {
    const blob = this.#blobs.get(digest)
    if (!blob) return
    for (const peer of [...blob.sources.keys()]) this.drop(now, blob, peer, actions, true)
    this.#blobs.delete(digest)
  }

  private join(now: number, blob: BlobState, event: EventOf<'peer-joined'>): void {
    const known = blob.sources.get(event.peer)
    // What it told since its first offer holds, and what it was when it joined it stays.
    if (known) {
      for (let piece = 0; piece < event.pieces.length; piece++) if (event.pieces.has(piece)) blob.addPiece(known, piece)
    } else blob.addSource(new Source(blob.digest, event))
    this.noteBrought(now, blob, event.peer, event.fetching ?? [])
    this.noteProgress(now, blob)
  }

  /** Only what a member brings in keeps others of the zone from doing so. */
  private noteBrought(now: number, blob: BlobState, peer: string, pieces: readonly number[]): void {
    const source = blob.sources.get(peer)
    if (source?.kind !== 'member') return
    for (const piece of pieces) {
      if (piece < 0 || piece >= blob.held.length || blob.held.has(piece) || source.pieces.has(piece)) continue
      blob.brought.set(piece, { peer, at: now })
      blob.lastProgressAt = now
    }
  }

  /** @param from the peer that gave the piece; undefined when it came from outside the mesh */
  private arrived(now: number, blob: BlobState, piece: number, from: string | undefined, actions: SwarmAction[]): void {
    for (const { peer } of blob.requests.get(piece) ?? []) {
      if (peer === from) this.release(now, blob, piece, peer)
      else this.cancel(now, blob, piece, peer, actions)
    }
    blob.keep(piece)
    blob.payloadAt = now
    this.noteProgress(now, blob)
    if (!blob.complete) return
    this.stop(now, blob.digest, actions)
    actions.push({ type: 'complete', digest: blob.digest })
  }

  private noteProgress(now: number, blob: BlobState): void {
    blob.lastProgressAt = now
    blob.searchPauseMs = this.#options.searchPauseMs
  }

  /** Takes a source away from a blob; what was asked of it is open again. */
  private drop(now: number, blob: BlobState, peer: string, actions: SwarmAction[], cancel: boolean): void {
    for (const piece of [...blob.requests.keys()]) {
      if (!cancel) this.release(now, blob, piece, peer)
      else if (blob.isAsked(piece, peer)) this.cancel(now, blob, piece, peer, actions)
    }
    blob.removeSource(peer)
  }

  private fail(now: number, blob: BlobState, event: EventOf<'piece-failed'>, actions: SwarmAction[]): void {
    const { peer, piece, reason } = event
    if (this.release(now, blob, piece, peer)) this.refund(blob, piece, peer, reason)
    const source = blob.sources.get(peer)
    switch (reason) {
      case 'wrong-bytes':
      case 'malformed':
        return this.ban(now, peer, reason, this.#options.misbehavedBanMs, actions)
      case 'not-held':
        if (source) blob.removePiece(source, piece)
        return
      case 'given':
        if (source) blob.noteGiven(piece, source, now + this.#options.givenPauseMs)
        return
      case 'busy':
        this.peer(peer, now).pausedUntil = now + this.#options.busyPauseMs
        return
      case 'lost':
        return this.drop(now, blob, peer, actions, false)
    }
  }

  private refund(blob: BlobState, piece: number, peer: string, reason: PieceFailure): void {
    if (reason === 'wrong-bytes' || reason === 'malformed') return
    this.#bucket.giveBack(blob.bytesOf(piece))
    if (blob.sources.get(peer)?.kind === 'far') this.#farBucket.giveBack(blob.bytesOf(piece))
  }

  private ban(now: number, peer: string, reason: BanReason, forMs: number, actions: SwarmAction[]): void {
    for (const blob of this.#blobs.values()) this.drop(now, blob, peer, actions, true)
    this.#peers.delete(peer)
    actions.push({ type: 'ban', peer, reason, forMs })
  }

  // --- deadlines

  private tick(now: number, actions: SwarmAction[]): void {
    this.forgiveOwnStall(now)
    for (const [peer, state] of this.#peers) {
      if (state.owes && now - state.activeAt >= this.#options.silentAfterMs)
        this.ban(now, peer, 'silent', this.#options.silentBanMs, actions)
    }
    for (const blob of [...this.#blobs.values()]) this.tickBlob(now, blob, actions)
    this.tellFetching(now, actions)
  }

  private tickBlob(now: number, blob: BlobState, actions: SwarmAction[]): void {
    blob.readers.expire(now, (piece) => blob.held.has(piece))
    blob.expireGiven(now)
    blob.state++
    for (const requests of blob.requests.values()) {
      for (const { peer } of requests) {
        blob.payloadAt = Math.max(blob.payloadAt, this.#peers.get(peer)?.payloadAt ?? 0)
      }
    }
    blob.lastProgressAt = Math.max(blob.lastProgressAt, blob.payloadAt)
    // It waits for its turn, not for its sources.
    if (blob.requests.size === 0 && blob.sources.size > 0 && this.isHeldBack(now, blob)) blob.lastProgressAt = now
    if (now - blob.lastProgressAt >= this.#options.giveUpAfterMs) {
      this.stop(now, blob.digest, actions)
      actions.push({ type: 'give-up', digest: blob.digest })
      return
    }
    if (
      !blob.searching &&
      now >= blob.nextSearchAt &&
      ((!blob.entering && blob.lacksSource()) || this.isStuck(now, blob))
    ) {
      blob.searching = true
      blob.nextSearchAt = now + blob.searchPauseMs
      blob.searchPauseMs = Math.min(blob.searchPauseMs * 2, this.#options.maxSearchPauseMs)
      actions.push({ type: 'find-peers', digest: blob.digest })
    }
  }

  /** Those who wait for what this node brings in hear of it as long as it comes. */
  private tellFetching(now: number, actions: SwarmAction[]): void {
    const { tellFetchingEveryMs } = this.#options
    if (now - this.#toldFetchingAt < tellFetchingEveryMs) return
    this.#toldFetchingAt = now
    for (const blob of this.#blobs.values()) {
      if (!hasMembers(blob)) continue
      const pieces = this.fetching(blob.digest).filter((piece) =>
        blob.requests.get(piece)?.some(({ peer, at }) => {
          const payloadAt = this.#peers.get(peer)?.payloadAt ?? 0
          return now - Math.max(at, payloadAt) < 2 * tellFetchingEveryMs
        })
      )
      if (pieces.length > 0) actions.push({ type: 'tell-fetching', digest: blob.digest, pieces })
    }
  }

  /** When this process stood still (a stopped debugger, a suspended host), the peers are not to blame for the gap. */
  private forgiveOwnStall(now: number): void {
    const gap = now - (this.#lastTickAt ?? now)
    if (gap >= this.#options.silentAfterMs / 2) {
      for (const peer of this.#peers.values()) peer.activeAt = now
      for (const blob of this.#blobs.values()) blob.lastProgressAt = Math.min(now, blob.lastProgressAt + gap)
    }
    this.#lastTickAt = now
  }

  // --- who is asked for what

  /**
   * Hands out what may be owed, piece by piece: blobs with a reader come first, and among equals the one that has least
   * on its way, so that no blob starves behind another.
   */
  private assign(now: number, actions: SwarmAction[]): void {
    let open = [...this.#blobs.values()]
    const brought = new Map<BlobState, number[]>()
    while (open.length > 0 && this.#owedBytes < this.#options.maxOwedBytes && this.#bucket.open(now)) {
      const blob = open.reduce((best, each) => (comesBefore(each, best) ? each : best))
      const chosen = this.choose(now, blob)
      if (!chosen) {
        open = open.filter((other) => other !== blob)
        continue
      }
      this.request(now, blob, chosen.source, chosen.piece, actions)
      if (chosen.source.kind === 'member') continue
      const pieces = brought.get(blob)
      if (pieces) pieces.push(chosen.piece)
      else brought.set(blob, [chosen.piece])
    }
    for (const [blob, pieces] of brought) {
      if (hasMembers(blob)) actions.push({ type: 'tell-fetching', digest: blob.digest, pieces })
    }
  }

  /** The best source that has room and a piece to ask for; else a late piece to ask of a second peer. */
  private choose(now: number, blob: BlobState): { source: Source; piece: number } | undefined {
    if (blob.openCount > 0) {
      for (;;) {
        const source = this.idlestSource(now, blob)
        if (!source) break
        const piece = pickPiece(now, blob, source, this.#options)
        if (piece !== undefined) return { source, piece }
        source.idleAt = blob.state
      }
    }
    return findHedge(now, blob, this.#peers, this.#options)
  }

  /** Members before origins before far peers, and of these the one that is busy least. */
  private idlestSource(now: number, blob: BlobState): Source | undefined {
    let best: Source | undefined
    let bestCost = Number.POSITIVE_INFINITY
    for (const source of blob.sources.values()) {
      if (source.useful === 0 || source.idleAt === blob.state) continue
      const peer = this.#peers.get(source.peer)
      if (peer && !peer.hasRoom(now, this.#options)) continue
      if (source.kind === 'far' && !this.#farBucket.open(now)) continue
      const cost = PREFERENCE[source.kind] * 1_000 + (peer?.load(this.#options) ?? 0)
      if (cost >= bestCost) continue
      best = source
      bestCost = cost
    }
    return best
  }

  private request(now: number, blob: BlobState, source: Source, piece: number, actions: SwarmAction[]): void {
    const bytes = blob.bytesOf(piece)
    this.peer(source.peer, now).ask(now, bytes)
    this.#owedBytes += bytes
    this.#bucket.take(bytes)
    if (source.kind === 'far') this.#farBucket.take(bytes)
    blob.addRequest(piece, { peer: source.peer, at: now })
    actions.push({ type: 'request', digest: blob.digest, peer: source.peer, piece })
  }

  /** A request has ended: its bytes are no longer owed. @returns false when there was none */
  private release(now: number, blob: BlobState, piece: number, peer: string): boolean {
    if (!blob.removeRequest(piece, peer)) return false
    const bytes = blob.bytesOf(piece)
    this.#owedBytes -= bytes
    this.#peers.get(peer)?.settle(now, bytes)
    return true
  }

  private cancel(now: number, blob: BlobState, piece: number, peer: string, actions: SwarmAction[]): void {
    this.#peers.get(peer)?.expectSign(now, this.#options.hedgeAfterMs)
    if (this.release(now, blob, piece, peer)) actions.push({ type: 'cancel', digest: blob.digest, peer, piece })
  }

  /** It has sources, and for a while none of them could be asked for what is missing. */
  private isStuck(now: number, blob: BlobState): boolean {
    return blob.requests.size === 0 && now - blob.lastProgressAt >= this.#options.stuckAfterMs
  }

  private isHeldBack(now: number, blob: BlobState): boolean {
    if (this.#owedBytes >= this.#options.maxOwedBytes || !this.#bucket.open(now)) return true
    return [...blob.sources.values()].some(
      ({ peer, kind, useful }) =>
        useful > 0 &&
        (this.#peers.get(peer)?.hasRoom(now, this.#options) === false || (kind === 'far' && !this.#farBucket.open(now)))
    )
  }

  private peer(peer: string, now: number): PeerState {
    let state = this.#peers.get(peer)
    if (!state) {
      state = new PeerState(now)
      this.#peers.set(peer, state)
    }
    return state
  }
}

function hasMembers(blob: BlobState): boolean {
  for (const source of blob.sources.values()) if (source.brings) return true
  return false
}

function comesBefore(one: BlobState, other: BlobState): boolean {
  if (one.urgent !== other.urgent) return one.urgent
  return one.requests.size < other.requests.size
}

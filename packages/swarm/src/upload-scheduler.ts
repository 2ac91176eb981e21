import { GivenPieces } from './given-pieces.ts'
import { UPLOAD_DEFAULTS, type UploadOptions } from './options.ts'
import { TokenBucket } from './token-bucket.ts'
import type { UploadAction, UploadEvent } from './upload-events.ts'

type Requested = Extract<UploadEvent, { type: 'requested' }>

interface Upload {
  readonly wanted: Requested
  /** When something of it was taken last; undefined while it waits. */
  takenAt: number | undefined
}

interface Asker {
  /** Requests that wait, the oldest first. */
  readonly waiting: Upload[]
  active: number
  /** When it took something last, or something was begun to be sent to it. */
  takenAt: number
  /** Bytes given, counted from what the least served had when it came: whoever has least comes next. */
  served: number
}

/**
 * The giving side: decides which of the pieces that peers ask for is sent next. A state machine like {@link Swarm}.
 *
 * Few pieces are sent at one time, so that each is soon whole and can be passed on. Peers take turns by bytes, wherever
 * they are, so that none starves. An origin, or whoever gives to another zone, gives each piece to one member of a zone
 * (see {@link GivenPieces}). A peer that takes nothing does not keep others from its slot.
 */
export class UploadScheduler {
  readonly #options: UploadOptions
  readonly #uploads = new Map<number, Upload>()
  readonly #active = new Set<Upload>()
  readonly #askers = new Map<string, Asker>()
  readonly #given: GivenPieces
  readonly #bucket: TokenBucket
  readonly #farBucket: TokenBucket
  #expiredAt = 0

  constructor(options: Partial<UploadOptions> = {}) {
    this.#options = { ...UPLOAD_DEFAULTS, ...options }
    this.#given = new GivenPieces(this.#options)
    this.#bucket = new TokenBucket(this.#options.bytesPerSecond)
    this.#farBucket = new TokenBucket(this.#options.farBytesPerSecond)
  }

  /** Requests that wait or are being sent. */
  get size(): number {
    return this.#uploads.size
  }

  /** @param now milliseconds of any clock that never goes back */
  step(now: number, event: UploadEvent): UploadAction[] {
    const actions: UploadAction[] = []
    this.apply(now, event, actions)
    this.fillSlots(now, actions)
    return actions
  }

  private apply(now: number, event: UploadEvent, actions: UploadAction[]): void {
    switch (event.type) {
      case 'requested':
        return this.take(now, event, actions)
      case 'sent': {
        const upload = this.#uploads.get(event.request)
        const asker = upload && this.#askers.get(upload.wanted.peer)
        if (upload) upload.takenAt = now
        if (asker) asker.takenAt = now
        return
      }
      case 'finished':
        return this.end(event.request, ({ peer, zone, digest, piece }) =>
          this.#given.sent(now, peer, zone, digest, piece)
        )
      case 'cancelled':
        return this.end(event.request, ({ peer, zone, digest, piece }) =>
          this.#given.takeBack(peer, zone, digest, piece)
        )
      case 'peer-gone':
        return this.forget(event.peer)
      case 'tick':
        if (now - this.#expiredAt < this.#options.givenForMs) return
        this.#expiredAt = now
        this.#given.expire(now)
    }
  }

  private take(now: number, wanted: Requested, actions: UploadAction[]): void {
    const { request, peer, zone, scope, digest, piece, pieces, whole } = wanted
    const waiting = this.#askers.get(peer)?.waiting.length ?? 0
    if (waiting >= this.#options.maxWaitingPerPeer) {
      actions.push({ type: 'reject', request, reason: 'busy' })
      return
    }
    if (pieces > 1 && (whole || scope === 'far')) {
      const holder = this.#given.holder(now, zone, digest, piece)
      if (holder !== undefined && holder !== peer && !this.isStalled(now, holder)) {
        actions.push({ type: 'reject', request, reason: 'given' })
        return
      }
      this.#given.begin(peer, zone, digest, piece)
    }
    const upload = { wanted, takenAt: undefined }
    this.#uploads.set(request, upload)
    this.asker(peer).waiting.push(upload)
  }

  /** Whether something is being sent to it, and it takes nothing: nobody will get from it what it was promised. */
  private isStalled(now: number, peer: string): boolean {
    const asker = this.#askers.get(peer)
    return asker !== undefined && asker.active > 0 && now - asker.takenAt >= this.#options.promiseStallMs
  }

  private end(request: number, note: (wanted: Requested) => void): void {
    const upload = this.#uploads.get(request)
    if (!upload) return
    this.#uploads.delete(request)
    note(upload.wanted)
    const { peer } = upload.wanted
    const asker = this.#askers.get(peer)
    if (!asker) return
    if (this.#active.delete(upload)) asker.active--
    else asker.waiting.splice(asker.waiting.indexOf(upload), 1)
    // With nothing left to ask it has no place in the order; it comes back as if it were new.
    if (asker.active === 0 && asker.waiting.length === 0) this.#askers.delete(peer)
  }

  private forget(peer: string): void {
    this.#askers.delete(peer)
    this.#given.forget(peer)
    for (const [request, upload] of this.#uploads) {
      if (upload.wanted.peer !== peer) continue
      this.#uploads.delete(request)
      this.#active.delete(upload)
    }
  }

  private fillSlots(now: number, actions: UploadAction[]): void {
    let { working, stalled } = this.countActive(now)
    const { slots, maxStalled } = this.#options
    while (working < slots && working + stalled < slots + maxStalled && this.#bucket.open(now)) {
      const upload = this.next(now)
      if (!upload) return
      const { request, bytes, scope } = upload.wanted
      upload.takenAt = now
      this.#active.add(upload)
      this.#bucket.take(bytes)
      if (scope === 'far') this.#farBucket.take(bytes)
      actions.push({ type: 'send', request })
      working++
    }
  }

  private countActive(now: number): { working: number; stalled: number } {
    let working = 0
    let stalled = 0
    for (const { takenAt = now } of this.#active) {
      if (now - takenAt < this.#options.stalledAfterMs) working++
      else stalled++
    }
    return { working, stalled }
  }

  /** Takes the oldest request of the peer that was served least out of the queue. */
  private next(now: number): Upload | undefined {
    let least: Asker | undefined
    for (const asker of this.#askers.values()) {
      const [first] = asker.waiting
      if (!first || asker.active >= this.#options.slotsPerPeer || (least && least.served <= asker.served)) continue
      if (first.wanted.scope === 'far' && !this.#farBucket.open(now)) continue
      least = asker
    }
    const upload = least?.waiting.shift()
    if (!least || !upload) return undefined
    least.active++
    if (least.active === 1) least.takenAt = now
    least.served += upload.wanted.bytes
    return upload
  }

  private asker(peer: string): Asker {
    let asker = this.#askers.get(peer)
    if (!asker) {
      let least = Number.POSITIVE_INFINITY
      for (const { served } of this.#askers.values()) least = Math.min(least, served)
      asker = { waiting: [], active: 0, takenAt: 0, served: least === Number.POSITIVE_INFINITY ? 0 : least }
      this.#askers.set(peer, asker)
    }
    return asker
  }
}

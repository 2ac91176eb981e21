/**
 * Who brings a blob into the mesh that no peer has. Of the nodes of a zone that want it one gets the lease, and brings
 * it from its origin; the others share it with that one and with each other while it comes. When it dies or can't get
 * it, the next one goes on from what is here.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { type ContentStore, isContentError } from '@layermesh/content'
import type { Digest } from '@layermesh/oci'
import { rankForBlob } from '@layermesh/swarm'
import { MeshError } from '../errors.ts'
import type { BlobOrigin } from '../interfaces.ts'
import type { LeaseAsk, LeaseClient, LeaseListener } from '../leases/lease-client.ts'
import { LIMITS } from '../limits.ts'
import type { PeerDirectory } from '../network/peer-directory.ts'
import type { PeerAddresses } from '../wire/blob-messages.ts'
import type { Download } from './download.ts'
import { OriginFeed, type OriginFeedComponents } from './origin-feed.ts'
import type { Pieces } from './pieces.ts'

export interface GatewaysComponents extends OriginFeedComponents {
  readonly pieces: OriginFeedComponents['pieces'] & Pick<Pieces, 'lastHeard'>
  readonly leases: Pick<LeaseClient, 'ask'>
  readonly content: Pick<ContentStore, 'downloads'>
  /** Peer id of this node. */
  readonly self: string
  readonly directory: Pick<PeerDirectory, 'scope'>
  /** How long peers have to give a blob before its origin is asked. @default LIMITS.originHeadStartMs */
  readonly originHeadStartMs?: number | undefined
  /** Asks a peer to share the blob. */
  share(download: Download, peer: PeerAddresses): Promise<void>
}

const WATCH_MS = 250
const FIRST_FOLLOW_PAUSE_MS = 50
const LAST_FOLLOW_PAUSE_MS = 500

export class Gateways {
  readonly #components: GatewaysComponents
  readonly #entries = new Map<Digest, Entry>()

  constructor(components: GatewaysComponents) {
    this.#components = components
  }

  /** Whether this node brings the blob in. */
  bringing(digest: Digest): boolean {
    return this.#entries.get(digest)?.feeding ?? false
  }

  /** The piece that this node brings in from the blob's origin at this moment. */
  piece(digest: Digest): number | undefined {
    return this.#entries.get(digest)?.piece
  }

  /** A peer brings pieces of a blob in: of two that do so for one zone, one yields. */
  fetching(digest: Digest, peerId: string): void {
    this.#entries.get(digest)?.yieldTo(peerId)
  }

  /**
   * Sees to it that the blob comes, when no peer gives it. Resolves when it can't be had, or when it has come; it never
   * rejects.
   * @param nobodyHas resolves when those who are near have been asked in vain
   */
  async bring(download: Download, nobodyHas: Promise<void>, signal: AbortSignal): Promise<void> {
    const { origin } = download.request
    if (!origin) return
    const { originHeadStartMs = LIMITS.originHeadStartMs } = this.#components
    await Promise.race([nobodyHas, wait(originHeadStartMs, undefined, { signal, ref: false }).catch(() => {})])
    if (signal.aborted || download.settled) return
    const entry = new Entry(this.#components, download, origin)
    this.#entries.set(download.digest, entry)
    try {
      await entry.run(signal)
    } finally {
      if (this.#entries.get(download.digest) === entry) this.#entries.delete(download.digest)
    }
  }
}

/** One blob on its way into the mesh, as far as this node sees to it. */
class Entry implements LeaseListener {
  readonly #components: GatewaysComponents
  readonly #download: Download
  readonly #origin: BlobOrigin
  readonly #ended = Promise.withResolvers<void>()
  readonly #begunAt: number
  #ask: LeaseAsk | undefined
  #feed: { readonly origin: OriginFeed; readonly stop: AbortController } | undefined
  #following: AbortController | undefined
  /** Peers that this node left the blob to. */
  readonly #yieldedTo = new Set<string>()
  #complainedAt: number
  #failure: Error | undefined

  constructor(components: GatewaysComponents, download: Download, origin: BlobOrigin) {
    this.#components = components
    this.#download = download
    this.#origin = origin
    this.#begunAt = components.now()
    this.#complainedAt = this.#begunAt
  }

  /** Whether this node brings the blob in. */
  get feeding(): boolean {
    return this.#feed !== undefined
  }

  /** The piece that comes from the origin. */
  get piece(): number | undefined {
    return this.#feed?.origin.piece
  }

  async run(signal: AbortSignal): Promise<void> {
    const stop = () => this.#ended.resolve()
    const watch = setInterval(() => this.watch(), WATCH_MS)
    signal.addEventListener('abort', stop, { once: true })
    this.#download.finished.then(stop, stop)
    try {
      this.watch()
      await this.#ended.promise
    } finally {
      clearInterval(watch)
      signal.removeEventListener('abort', stop)
      this.stopFeed()
      this.#following?.abort()
      this.settle()
    }
  }

  // --- what the arbiter says

  granted(): void {
    this.#following?.abort()
    this.#following = undefined
    if (!this.#feed) void this.bring()
  }

  held(holder: PeerAddresses): void {
    this.stopFeed()
    this.#following?.abort()
    this.#following = new AbortController()
    void this.follow(holder, this.#following.signal)
  }

  refused(): void {
    const { begun, digest } = this.#download
    this.#ask = undefined
    // What peers have of it may be all; if not, nobody brings the rest.
    if (begun && this.#components.pieces.firstUnoffered(digest) !== undefined) {
      this.#download.fail(this.#failure ?? new MeshError('ORIGIN_FAILED', `nobody can bring the rest of ${digest}`))
    }
    this.#ended.resolve()
  }

  /**
   * Two of a zone may bring a blob in when they asked different arbiters. They notice once they share it: whoever comes
   * later in the order of rendezvous hashing leaves it to the other, but not again to one of whom nothing came.
   */
  yieldTo(peerId: string): void {
    const { self, directory } = this.#components
    const { digest, joined } = this.#download
    if (!this.#feed || this.#yieldedTo.has(peerId) || !joined.has(peerId) || directory.scope(peerId) === 'far') return
    if (rankForBlob([self, peerId], digest)[0] !== peerId) return
    this.#yieldedTo.add(peerId)
    this.stopFeed()
    this.#ask?.release('left')
    this.#ask = undefined
  }

  // --- what this node does

  /** A node that others give the blob needs no lease, but one that gets nothing does. */
  private watch(): void {
    const { now, pieces } = this.#components
    const { begun, ledger, digest, settled } = this.#download
    if (settled) return
    if (!begun && now() - this.#begunAt >= LIMITS.originBeginDeadlineMs) return this.#ended.resolve()
    const { payloadAt = this.#begunAt, progressAt = this.#begunAt } = pieces.lastHeard(digest) ?? {}
    const quietMs = now() - Math.max(this.#complainedAt, progressAt)
    const stalled =
      quietMs >= (begun ? LIMITS.leaseStallMs : LIMITS.leaseBeginStallMs) ||
      now() - Math.max(this.#complainedAt, payloadAt) >= LIMITS.leasePayloadStallMs
    const lacks = begun && !ledger && quietMs >= LIMITS.originHeadStartMs && pieces.firstUnoffered(digest) !== undefined
    const waits = ledger !== undefined && this.#yieldedTo.size === 0
    if (!this.#ask && (!begun || waits || lacks || stalled)) {
      this.#complainedAt = now()
      this.#ask = this.#components.leases.ask(digest, this)
    } else if (!this.#feed && stalled) {
      this.#complainedAt = now()
      this.#ask?.complain()
    }
  }

  private async bring(): Promise<void> {
    const origin = new OriginFeed(this.#components, this.#download, this.#origin)
    const feed = { origin, stop: new AbortController() }
    this.#feed = feed
    try {
      await origin.run(feed.stop.signal)
    } catch (error) {
      if (this.#feed !== feed) return
      this.#failure = error instanceof Error ? error : new Error('the origin failed', { cause: error })
      // What this host's disk does not take is no fault of the origin.
      if (this.#download.begun && isContentError(error)) this.#download.fail(error)
      else if (!this.#download.settled) this.#ask?.failed()
    } finally {
      if (this.#feed === feed) this.#feed = undefined
    }
  }

  private stopFeed(): void {
    this.#feed?.stop.abort()
    this.#feed = undefined
  }

  /** Asks the holder until it has something to share: it may not know the length yet, or need all of a small blob. */
  private async follow(holder: PeerAddresses, signal: AbortSignal): Promise<void> {
    let pauseMs = FIRST_FOLLOW_PAUSE_MS
    while (!signal.aborted && !this.#download.settled && !this.hasJoined(holder)) {
      await this.#components.share(this.#download, holder)
      await wait(pauseMs, undefined, { signal, ref: false }).catch(() => {})
      pauseMs = Math.min(2 * pauseMs, LAST_FOLLOW_PAUSE_MS)
    }
  }

  private hasJoined({ peerId }: PeerAddresses): boolean {
    return this.#download.joined.has(peerId) || this.#download.disagreeing.has(peerId)
  }

  /** Lets the lease go; when the blob has come, only once it is wholly kept, since then others can have it here. */
  private settle(): void {
    const ask = this.#ask
    if (!ask) return
    const { digest, isComplete } = this.#download
    if (!isComplete) return ask.release('left')
    this.#components.content.downloads.whole(digest).then(
      () => ask.release('done'),
      () => ask.release('failed')
    )
  }
}

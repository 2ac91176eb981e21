/**
 * How a blob comes here (ARCHITECTURE.md, "The way of a pull"). For each wanted digest a {@link Download} runs: peers
 * are searched and asked to share it (join). What comes of at most one piece is taken by {@link SmallBlobs}; else the
 * first trusted offer fixes length and piece map, and {@link Pieces} brings it.
 */
import { setTimeout as wait } from 'node:timers/promises'
import type { BlobReader, BlobSource, ContentStore } from '@layermesh/content'
import { type Digest, pieceCount, type Repository } from '@layermesh/oci'
import type { SwarmOptions } from '@layermesh/swarm'
import type { PrivateKey } from '@libp2p/interface'
import { LRUCache } from 'lru-cache'
import type { BufferPool } from '../buffer-pool.ts'
import type { Discovery } from '../discovery.ts'
import { MeshError } from '../errors.ts'
import type { BlobRequest, MembershipQuestion, MeshObserver, TransferSummary } from '../interfaces.ts'
import type { LeaseClient } from '../leases/lease-client.ts'
import { LIMITS } from '../limits.ts'
import type { MeshHost } from '../network/host.ts'
import type { PeerDirectory } from '../network/peer-directory.ts'
import type { GrowthMessage, Joined, PeerAddresses, Refused } from '../wire/blob-messages.ts'
import type { RejectReason } from '../wire/frames.ts'
import { Channels, type ChannelsListener } from './channels.ts'
import { Download } from './download.ts'
import { Gateways } from './gateways.ts'
import { Growths } from './growths.ts'
import { type CheckedOffer, checkOffer } from './offers.ts'
import type { PieceLedger } from './piece-ledger.ts'
import { Pieces } from './pieces.ts'
import { searchPeers, type Wanted } from './search.ts'
import type { Serving } from './serving.ts'
import { SmallBlobs } from './small-blobs.ts'

export interface ExchangeComponents {
  readonly host: MeshHost
  readonly content: ContentStore
  /** Signs what comes into the mesh by this node. */
  readonly privateKey: PrivateKey
  readonly directory: PeerDirectory
  readonly discovery: Discovery
  readonly leases: Pick<LeaseClient, 'ask'>
  readonly serving: Pick<Serving, 'pieceKept' | 'piecesFetching'>
  /** Memory for pieces that come. */
  readonly buffers: BufferPool
  readonly observer: MeshObserver
  /** Whether pieces may be used, and streamed to clients, on the word of this signer alone. */
  mayVouch(signer: string): boolean
  seeds(): readonly string[]
  /** Milliseconds of a clock that never goes back. */
  now(): number
}

export interface ExchangeOptions {
  readonly findWithinMs: number
  /** Limits of what is taken in. */
  readonly swarm?: Partial<SwarmOptions>
}

const FINISHED_KEPT = 256
const LEDGERS_KEPT = 64
const FIRST_MEETING_PAUSE_MS = 100
const LAST_MEETING_PAUSE_MS = 6_400
const WRONG_MAP_BAN_MS = 60 * 60_000

export class Exchange implements ChannelsListener {
  readonly #components: ExchangeComponents
  readonly #options: ExchangeOptions
  readonly #channels: Channels
  readonly #small: SmallBlobs
  readonly #pieces: Pieces
  readonly #growths: Growths
  readonly #gateways: Gateways
  readonly #self: { readonly peerId: string; readonly privateKey: PrivateKey }
  readonly #downloads = new Map<Digest, Download>()
  readonly #finished = new LRUCache<Digest, TransferSummary>({ max: FINISHED_KEPT })
  /** Of blobs that have come: those who were told of their pieces by them ask for some still. */
  readonly #ledgers = new LRUCache<Digest, PieceLedger>({ max: LEDGERS_KEPT })
  /** Blobs that turned out wrong with what members said of their pieces, who are not believed for a while. */
  readonly #doubted = new LRUCache<Digest, true>({ max: FINISHED_KEPT, ttl: LIMITS.doubtMs })

  constructor(components: ExchangeComponents, options: ExchangeOptions) {
    this.#components = components
    this.#options = options
    this.#channels = new Channels(components, this)
    const channel = (peerId: string) => this.#channels.get(peerId)
    this.#small = new SmallBlobs({ ...components, channel })
    const download = (digest: Digest) => this.#downloads.get(digest)
    const search = (wanted: Download) => this.searchAgain(wanted)
    this.#self = { peerId: components.host.peerId.toString(), privateKey: components.privateKey }
    this.#pieces = new Pieces({ ...components, self: this.#self.peerId, channel, download, search }, options.swarm)
    this.#growths = new Growths({ ...components, pieces: this.#pieces, channel })
    const share = (wanted: Download, peer: PeerAddresses) => this.share(wanted, peer)
    const began = (wanted: Download) => this.began(wanted)
    this.#gateways = new Gateways({ ...components, self: this.#self.peerId, pieces: this.#pieces, share, began })
  }

  /**
   * A reader of the blob, from the store or from peers; undefined when nobody has it. The download goes on when the
   * reader is let go.
   */
  async fetch(digest: Digest, request: BlobRequest, signal: AbortSignal): Promise<BlobReader | undefined> {
    const attempt = await this.attempt(digest, request, signal)
    // Another one's search, with less to go by, found nobody: this request has not been tried yet.
    const { reader } = attempt.reader || attempt.searched ? attempt : await this.attempt(digest, request, signal)
    if (reader) this.#components.discovery.announce(digest)
    return reader
  }

  /** One fetch through the store, which joins it to a download that runs already. */
  private async attempt(
    digest: Digest,
    request: BlobRequest,
    signal: AbortSignal
  ): Promise<{ reader: BlobReader | undefined; searched: boolean }> {
    const { downloads } = this.#components.content
    let own: Download | undefined
    const source: BlobSource = (wanted, begin, stop) => {
      own = new Download(wanted, request, begin, this.#self)
      return this.download(own, stop)
    }
    const reader = await downloads.fetch(digest, source, signal)
    if (reader && !reader.complete && own) void this.judge(own)
    return { reader, searched: own !== undefined }
  }

  /**
   * Peers that hold the digest and know it to be in the repository; empty when there are none. The proof that a client
   * who asks by digest alone may see it there.
   */
  async confirm({ digest, repository, authorities }: MembershipQuestion, signal: AbortSignal): Promise<string[]> {
    const settled = new AbortController()
    const confirmed: string[] = []
    const unsure = new Set(authorities)
    const wanted: Wanted = {
      digest,
      likely: [],
      asked: new Set(),
      ask: async (peerId, deadline) => {
        const has = await this.probe(peerId, digest, repository, deadline)
        if (has) confirmed.push(peerId)
        if (has === false) unsure.delete(peerId)
        if (has || (authorities.length > 0 && unsure.size === 0)) settled.abort()
        return []
      },
      supply: () => (settled.signal.aborted ? 'settled' : 'none')
    }
    await this.searchPeers(wanted, AbortSignal.any([signal, settled.signal]))
    return confirmed
  }

  transfers(): TransferSummary[] {
    return [...this.#downloads.values()].flatMap((download) => download.summary() ?? [])
  }

  /** How far a blob is, or how it came if that was not long ago. */
  transferOf(digest: Digest): TransferSummary | undefined {
    return this.#downloads.get(digest)?.summary() ?? this.#finished.get(digest)
  }

  /** The signed map of a blob that is arriving, if pieces of it may be shared. */
  arrivingMap(digest: Digest): Uint8Array | undefined {
    return this.#downloads.get(digest)?.sharedMap
  }

  /** Whether this node brings the blob into the mesh for its zone. */
  bringsIn(digest: Digest): boolean {
    return this.#gateways.bringing(digest)
  }

  /** What is known of the pieces of a blob that comes into the mesh, or came not long ago. */
  ledger(digest: Digest): PieceLedger | undefined {
    const download = this.#downloads.get(digest)
    return download ? download.ledger : this.#ledgers.get(digest)
  }

  /** The pieces of a blob that this node brings in from an origin or from afar at this moment. */
  fetchingNow(digest: Digest): number[] {
    return this.#pieces.fetchingNow(digest)
  }

  /** A peer wants this blob too: it will have pieces soon. */
  interested(digest: Digest, peerId: string): void {
    const download = this.#downloads.get(digest)
    if (download && !download.joined.has(peerId)) void this.meet(download, peerId)
  }

  stop(): void {
    for (const download of this.#downloads.values()) download.fail(new MeshError('SOURCES_EXHAUSTED', 'the node stops'))
    this.#channels.closeAll()
  }

  // --- one download

  private async download(download: Download, signal: AbortSignal): Promise<boolean> {
    this.#downloads.set(download.digest, download)
    try {
      return await this.bring(download, signal)
    } finally {
      this.#downloads.delete(download.digest)
      const summary = download.summary()
      if (summary) this.#finished.set(download.digest, summary)
      if (download.ledger) this.#ledgers.set(download.digest, download.ledger)
      this.#pieces.stop(download.digest)
      for (const peerId of download.asked) this.#channels.get(peerId)?.leave(download.digest)
    }
  }

  private async bring(download: Download, signal: AbortSignal): Promise<boolean> {
    const stopped = new AbortController()
    const abort = () => {
      stopped.abort()
      download.fail(new MeshError('SOURCES_EXHAUSTED', 'the download was stopped'))
    }
    signal.addEventListener('abort', abort, { once: true })
    try {
      // The search ends long after the first good offer; the download must not wait for it.
      const { promise: nobodyNear, resolve: neighboursAnswered } = Promise.withResolvers<void>()
      const searched = this.search(download, stopped.signal, { neighboursAnswered }).then(() =>
        this.settleForLess(download)
      )
      const brought = this.#gateways.bring(download, Promise.race([searched, nobodyNear]), stopped.signal)
      await Promise.race([Promise.all([searched, brought]), download.finished])
      if (!download.begun) return false
      await download.finished
      return true
    } finally {
      stopped.abort()
      signal.removeEventListener('abort', abort)
    }
  }

  /** @param options.urgent whether those that give it now, if any, don't do */
  private search(
    download: Download,
    signal: AbortSignal,
    { urgent = false, ...told }: { urgent?: boolean } & Pick<Wanted, 'neighboursAnswered'> = {}
  ): Promise<void> {
    const { digest, request, asked } = download
    const wanted: Wanted = {
      digest,
      likely: request.candidates ?? [],
      asked,
      ask: (peerId, deadline) => this.ask(download, peerId, deadline),
      supply: () => (urgent && !download.settled ? 'none' : download.supply()),
      ...told
    }
    return this.searchPeers(wanted, signal)
  }

  private searchPeers(wanted: Wanted, signal: AbortSignal): Promise<void> {
    const { directory, discovery, seeds } = this.#components
    const components = {
      connected: () => directory.connected(),
      seeds,
      holders: (digest: Digest) => discovery.holders(digest),
      findProviders: (digest: Digest, deadline: AbortSignal) => discovery.findProviders(digest, deadline),
      random: Math.random,
      pause: (ms: number, ended: AbortSignal) => wait(ms, undefined, { signal: ended, ref: false }).catch(() => {})
    }
    return searchPeers(wanted, components, this.#options, signal)
  }

  /** Whether a peer holds a blob and knows it to be in the repository; undefined when it did not answer. */
  async probe(
    peerId: string,
    digest: Digest,
    repository: Repository,
    signal: AbortSignal
  ): Promise<boolean | undefined> {
    if (this.#components.directory.isBanned(peerId)) return undefined
    try {
      const channel = await this.#channels.open(peerId, signal)
      return await channel.probe(digest, repository, signal)
    } catch {
      return undefined
    }
  }

  /** Asks a peer to share the blob and takes its offer. @returns the peers that it named */
  private async ask(download: Download, peerId: string, signal: AbortSignal): Promise<string[]> {
    const { directory } = this.#components
    const { digest, asking } = download
    if (download.settled || directory.isBanned(peerId) || download.hasEnough(directory.scope(peerId))) return []
    if (asking.has(peerId) || download.disagreeing.has(peerId)) return []
    asking.add(peerId)
    try {
      const channel = await this.#channels.open(peerId, signal)
      if (channel.hasJoined(digest)) return []
      const named = await this.takeAnswer(download, peerId, await channel.join(digest, signal))
      if (download.settled) channel.leave(digest)
      return named
    } catch (error) {
      this.#components.discovery.forget(digest, peerId)
      if (error instanceof MeshError && error.code === 'PEER_MISBEHAVED')
        directory.ban(peerId, 'malformed', LIMITS.malformedBanMs)
      return []
    } finally {
      asking.delete(peerId)
    }
  }

  /** Asks a peer that brings the blob in, or has just done so. */
  private async share(download: Download, peer: PeerAddresses): Promise<void> {
    if (peer.addresses.length > 0) await this.#components.directory.learn(peer).catch(() => {})
    await this.ask(download, peer.peerId, AbortSignal.timeout(LIMITS.joinDeadlineMs))
  }

  /** Asks a peer that wants the blob until it has something of it to share: it may not know its length yet. */
  private async meet(download: Download, peerId: string): Promise<void> {
    const { meeting, joined } = download
    if (meeting.has(peerId)) return
    meeting.add(peerId)
    for (let pauseMs = FIRST_MEETING_PAUSE_MS; pauseMs <= LAST_MEETING_PAUSE_MS; pauseMs *= 2) {
      await this.ask(download, peerId, AbortSignal.timeout(LIMITS.joinDeadlineMs))
      if (download.settled || joined.has(peerId)) break
      await wait(pauseMs, undefined, { ref: false })
    }
    meeting.delete(peerId)
  }

  private async takeAnswer(download: Download, peerId: string, answer: Joined | Refused): Promise<string[]> {
    const { discovery } = this.#components
    const named = await this.learnPeers(answer.peers)
    if ('size' in answer) {
      discovery.remember(download.digest, peerId)
      await this.consider(download, peerId, answer)
    } else discovery.forget(download.digest, peerId)
    return named
  }

  private async learnPeers(peers: readonly PeerAddresses[]): Promise<string[]> {
    const self = this.#components.host.peerId.toString()
    const others = peers.filter(({ peerId }) => peerId !== self)
    const learnt = await Promise.allSettled(others.map((peer) => this.#components.directory.learn(peer)))
    return others.filter((_, index) => learnt[index]?.status === 'fulfilled').map(({ peerId }) => peerId)
  }

  private async consider(download: Download, peerId: string, answer: Joined): Promise<void> {
    const { size, maxBytes } = download.request
    if ((size !== undefined && answer.size !== size) || (maxBytes !== undefined && answer.size > maxBytes)) return
    const offer = await checkOffer(download.digest, peerId, answer, (signer) => this.believes(download, signer))
    if (download.settled) return
    if (offer.growth && !this.believesMembers(download)) this.#channels.get(peerId)?.leave(download.digest)
    else if (offer.map === undefined && !offer.growth) await this.#small.take(download, offer)
    else if (download.blob) this.join(download, offer)
    else if (download.begun || offer.map?.trusted === false) download.waiting.push(offer)
    else await this.begin(download, offer)
  }

  /** Whether members are believed in what they say of the pieces of a blob: it may come from outside the mesh. */
  private believesMembers({ request, digest }: Download): boolean {
    return request.origin !== undefined && !this.#doubted.has(digest)
  }

  private believes(download: Download, signer: string): boolean {
    return this.#components.mayVouch(signer) || this.believesMembers(download)
  }

  /** Takes from a peer what goes with what is known. */
  private join(download: Download, offer: CheckedOffer): void {
    const { digest } = download
    if (!this.#growths.agrees(download, offer)) {
      download.disagreeing.add(offer.peerId)
      return this.#channels.get(offer.peerId)?.leave(digest)
    }
    this.#pieces.joined(download, offer)
    this.#growths.joined(download, offer.peerId)
  }

  /** Length and beginning of the blob are known: it is brought, and shared. */
  private began(download: Download): void {
    this.#pieces.want(download)
    for (const offer of download.waiting.splice(0)) this.join(download, offer)
  }

  private async begin(download: Download, offer: CheckedOffer): Promise<void> {
    const { content } = this.#components
    try {
      download.waiting.unshift(offer)
      if (offer.growth) await download.beginEntering(offer.size)
      else await download.begin(offer)
      if (offer.map && this.#components.mayVouch(offer.map.signer))
        await content.pieceMaps.put(download.digest, offer.map.envelope)
      this.began(download)
    } catch (error) {
      download.fail(error instanceof Error ? error : new Error('the download could not begin', { cause: error }))
    }
  }

  /** When the search ends and nobody trusted vouched for the pieces, an untrusted map has to do; the whole is verified before it is used. */
  private async settleForLess(download: Download): Promise<void> {
    if (download.begun || download.settled) return
    const offer = download.waiting.shift()
    if (offer) await this.begin(download, offer)
  }

  /**
   * Waits for the whole blob and judges the map by it: one that was proved is kept for peers, and the signer of one
   * whose pieces do not make the blob lied.
   */
  private async judge(download: Download): Promise<void> {
    const { digest, map } = download
    const { content, directory, observer, mayVouch } = this.#components
    try {
      await content.downloads.whole(digest)
      if (map && !mayVouch(map.signer)) await content.pieceMaps.put(digest, map.envelope)
    } catch (error) {
      const cause = error instanceof Error ? (error.cause as { code?: unknown } | undefined) : undefined
      if (cause?.code !== 'DIGEST_MISMATCH') return
      this.#ledgers.delete(digest)
      const liar = map?.signer ?? this.soleGateway(download)
      // Without one, nobody can be convicted; but members are not believed again so soon.
      if (!map) this.#doubted.set(digest, true)
      if (liar === undefined) return
      observer.pieceFailed({ peerId: liar, digest, piece: -1, reason: 'wrong-map' })
      directory.ban(liar, 'wrong-map', map ? WRONG_MAP_BAN_MS : LIMITS.wrongGrowthBanMs)
      if (map) await content.pieceMaps.delete(digest).catch(() => {})
    }
  }

  /** The peer that by its own word brought in all of a blob. */
  private soleGateway({ ledger }: Download): string | undefined {
    const growth = ledger?.newest
    if (!growth || growth.signer === this.#self.peerId) return undefined
    const { since, count, length } = growth.map
    return since === 0 && count === pieceCount(length) ? growth.signer : undefined
  }

  private async searchAgain(download: Download): Promise<void> {
    download.asked.clear()
    await this.search(download, AbortSignal.timeout(LIMITS.joinDeadlineMs), { urgent: true })
  }

  // --- what the channels tell

  progress(peerId: string, payloadBytes: number): void {
    this.#small.heard(peerId)
    this.#pieces.progress(peerId, payloadBytes)
  }

  have(peerId: string, digest: Digest, pieces: readonly number[], growth?: GrowthMessage): void {
    const download = this.#downloads.get(digest)
    if (download && (growth || download.ledger)) this.#growths.have(download, peerId, { pieces, growth })
    else this.#pieces.have(peerId, digest, pieces)
  }

  fetching(peerId: string, digest: Digest, pieces: readonly number[]): void {
    this.#pieces.fetching(peerId, digest, pieces)
    this.#gateways.fetching(digest, peerId)
  }

  piece(peerId: string, digest: Digest, piece: number, bytes: Buffer): void {
    this.#components.directory.countReceived(peerId, bytes.byteLength)
    if (this.#small.settle(peerId, digest, bytes)) return
    void this.#pieces
      .keep(peerId, digest, piece, bytes)
      .then((memory) => memory && this.#components.buffers.give(memory))
  }

  rejected(peerId: string, digest: Digest, piece: number, reason: RejectReason): void {
    if (!this.#small.settle(peerId, digest, undefined)) this.#pieces.rejected(peerId, digest, piece, reason)
  }

  closed(peerId: string): void {
    for (const download of this.#downloads.values()) download.joined.delete(peerId)
    this.#small.gone(peerId)
    this.#pieces.gone(peerId)
  }
}

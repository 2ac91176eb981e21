/**
 * How a blob comes here (ARCHITECTURE.md, "The way of a pull"). For each wanted digest a {@link Download} runs: peers
 * are searched, and {@link Joins} asks them to share it. What comes of at most one piece is taken by {@link SmallBlobs};
 * else {@link Pieces} brings it. What no peer has comes by {@link Gateways}.
 */
import { setTimeout as wait } from 'node:timers/promises'
import type { BlobReader, BlobSource, ContentStore } from '@layermesh/content'
import type { Digest, Repository } from '@layermesh/oci'
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
import type { GrowthMessage, PeerAddresses } from '../wire/blob-messages.ts'
import type { RejectReason } from '../wire/frames.ts'
import { Channels, type ChannelsListener } from './channels.ts'
import { Download } from './download.ts'
import { Gateways } from './gateways.ts'
import { Growths } from './growths.ts'
import { Joins } from './joins.ts'
import { MapJudge } from './map-judge.ts'
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
  readonly serving: Pick<Serving, 'pieceKept' | 'pieceEntered' | 'piecesFetching'>
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
  readonly originHeadStartMs?: number | undefined
  /** Limits of what is taken in. */
  readonly swarm?: Partial<SwarmOptions>
}

const FINISHED_KEPT = 256
const LEDGERS_KEPT = 64

export class Exchange implements ChannelsListener {
  readonly #components: ExchangeComponents
  readonly #options: ExchangeOptions
  readonly #channels: Channels
  readonly #small: SmallBlobs
  readonly #pieces: Pieces
  readonly #growths: Growths
  readonly #gateways: Gateways
  readonly #joins: Joins
  readonly #judge: MapJudge
  readonly #self: { readonly peerId: string; readonly privateKey: PrivateKey }
  readonly #downloads = new Map<Digest, Download>()
  readonly #finished = new LRUCache<Digest, TransferSummary>({ max: FINISHED_KEPT })
  /** Of blobs that have come: those who were told of their pieces by them ask for some still. */
  readonly #ledgers = new LRUCache<Digest, PieceLedger>({ max: LEDGERS_KEPT })

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
    const distrusts = (signer: string, registry: string) => this.#judge.distrusts(signer, registry)
    this.#growths = new Growths({ ...components, pieces: this.#pieces, channel, distrusts })
    const wrong = (digest: Digest) => this.#ledgers.delete(digest)
    this.#judge = new MapJudge({ ...components, self: this.#self.peerId, wrong })
    const [pieces, small, growths, channels] = [this.#pieces, this.#small, this.#growths, this.#channels]
    const doubts = (digest: Digest) => this.#judge.doubts(digest)
    const bringsIn = (digest: Digest, peerId: string) => this.#gateways.fetching(digest, peerId)
    const judged = { channels, small, pieces, growths, doubts, distrusts, bringsIn }
    this.#joins = new Joins({ ...components, self: this.#self.peerId, ...judged })
    const share = (wanted: Download, peer: PeerAddresses) => this.#joins.share(wanted, peer)
    const began = (wanted: Download) => this.#joins.began(wanted)
    const { originHeadStartMs } = options
    this.#gateways = new Gateways({ ...components, self: this.#self.peerId, originHeadStartMs, pieces, share, began })
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
    if (reader && !reader.complete && own) void this.#judge.judge(own)
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
    const entering = this.#gateways.piece(digest)
    const pieces = this.#pieces.fetchingNow(digest)
    return entering === undefined ? pieces : [...pieces, entering]
  }

  /** A peer wants this blob too: it will have pieces soon. */
  interested(digest: Digest, peerId: string): void {
    const download = this.#downloads.get(digest)
    if (download && !download.joined.has(peerId)) void this.#joins.meet(download, peerId)
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
        this.#joins.settleForLess(download)
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
      ask: (peerId, deadline) => this.#joins.ask(download, peerId, deadline),
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

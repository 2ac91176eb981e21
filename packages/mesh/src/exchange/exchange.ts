/**
 * How a blob comes here (ARCHITECTURE.md, "The way of a pull"). For each wanted digest a {@link Download} runs: peers
 * are searched and asked to share it (join); the first trusted offer fixes length and piece map; then the swarm decides
 * who is asked for which piece, and this file carries it out: it is the hands, `swarm` is the head. Each piece is
 * verified before it is written, and once written it is offered to others.
 */
import type { BlobReader, BlobSource, ContentStore } from '@layermesh/content'
import { type Digest, pieceCount, pieceRange, type Repository } from '@layermesh/oci'
import { type PieceFailure, Swarm, type SwarmAction, type SwarmEvent } from '@layermesh/swarm'
import { openPieceMap } from '@layermesh/trust'
import { LRUCache } from 'lru-cache'
import type { Discovery } from '../discovery.ts'
import { MeshError } from '../errors.ts'
import type { BlobRequest, MembershipQuestion, MeshObserver, TransferSummary } from '../interfaces.ts'
import { LIMITS } from '../limits.ts'
import type { MeshHost } from '../network/host.ts'
import type { PeerDirectory } from '../network/peer-directory.ts'
import type { Joined, PeerAddresses } from '../wire/blob-messages.ts'
import type { RejectReason } from '../wire/frames.ts'
import { BufferPool } from './buffer-pool.ts'
import { Channels, type ChannelsListener } from './channels.ts'
import { type CheckedOffer, Download, heldPieces, isBlob, offeredPieces } from './download.ts'
import { type Ask, searchPeers } from './search.ts'
import type { Serving } from './serving.ts'

export interface ExchangeComponents {
  readonly host: MeshHost
  readonly content: ContentStore
  readonly directory: PeerDirectory
  readonly discovery: Discovery
  readonly serving: Pick<Serving, 'pieceKept'>
  readonly observer: MeshObserver
  /** Whether pieces may be used, and streamed to clients, on the word of this signer alone. */
  mayVouch(signer: string): boolean
  seeds(): readonly string[]
  /** Milliseconds of a clock that never goes back. */
  now(): number
}

export interface ExchangeOptions {
  readonly findWithinMs: number
}

const TICK_MS = 100
const FINISHED_KEPT = 256
const SMALL_BLOB_DEADLINE_MS = 3_000
const WRONG_MAP_BAN_MS = 60 * 60_000

export class Exchange implements ChannelsListener {
  readonly #components: ExchangeComponents
  readonly #options: ExchangeOptions
  readonly #channels: Channels
  readonly #buffers = new BufferPool(LIMITS.pooledBufferBytes)
  readonly #swarm = new Swarm()
  readonly #downloads = new Map<Digest, Download>()
  /** When each peer with an open channel last sent anything. */
  readonly #heardAt = new Map<string, number>()
  /** Who waits for a blob of one piece, by peer and digest. */
  readonly #smallWaits = new Map<string, (bytes: Uint8Array | undefined) => void>()
  readonly #finished = new LRUCache<Digest, TransferSummary>({ max: FINISHED_KEPT })
  #ticker: NodeJS.Timeout | undefined

  constructor(components: ExchangeComponents, options: ExchangeOptions) {
    this.#components = components
    this.#options = options
    this.#channels = new Channels({ ...components, buffers: this.#buffers }, this)
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
      own = new Download(wanted, request, begin)
      return this.download(own, stop)
    }
    const reader = await downloads.fetch(digest, source, signal)
    if (reader && !reader.complete && own) void this.judgeMap(own)
    return { reader, searched: own !== undefined }
  }

  /**
   * Peers that hold the digest and know it to be in the repository; empty when there are none. The proof that a client
   * who asks by digest alone may see it there.
   */
  async confirm({ digest, repository, authorities }: MembershipQuestion, signal: AbortSignal): Promise<string[]> {
    const settled = new AbortController()
    const confirmed: string[] = []
    const ask: Ask = async (peerId, deadline) => {
      const has = await this.probe(peerId, digest, repository, deadline)
      if (has) confirmed.push(peerId)
      if (has || (has === false && authorities.includes(peerId))) settled.abort()
      return []
    }
    await this.searchPeers(digest, [], new Set(), ask, AbortSignal.any([signal, settled.signal]))
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

  /** A peer wants this blob too: it will have pieces soon. */
  interested(digest: Digest, peerId: string): void {
    const download = this.#downloads.get(digest)
    if (!download?.blob || download.asked.has(peerId)) return
    download.asked.add(peerId)
    void this.ask(download, peerId, AbortSignal.timeout(LIMITS.joinDeadlineMs))
  }

  stop(): void {
    clearInterval(this.#ticker)
    for (const download of this.#downloads.values()) download.fail(new MeshError('SOURCES_EXHAUSTED', 'the node stops'))
    this.#channels.closeAll()
  }

  // --- one download

  private async download(download: Download, signal: AbortSignal): Promise<boolean> {
    this.#downloads.set(download.digest, download)
    this.#ticker ??= setInterval(() => this.step({ type: 'tick' }), TICK_MS)
    try {
      return await this.bring(download, signal)
    } finally {
      this.#downloads.delete(download.digest)
      const summary = download.summary()
      if (summary) this.#finished.set(download.digest, summary)
      this.step({ type: 'stop', digest: download.digest })
      for (const peerId of download.asked) this.#channels.get(peerId)?.leave(download.digest)
      if (this.#downloads.size === 0) {
        clearInterval(this.#ticker)
        this.#ticker = undefined
      }
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
      const searched = this.search(download, stopped.signal).then(() => this.settleForLess(download))
      await Promise.race([searched, download.finished])
      if (!download.begun) return false
      await download.finished
      return true
    } finally {
      stopped.abort()
      signal.removeEventListener('abort', abort)
    }
  }

  private search(download: Download, signal: AbortSignal): Promise<void> {
    const { digest, request, asked } = download
    return this.searchPeers(
      digest,
      request.candidates ?? [],
      asked,
      (peerId, deadline) => this.ask(download, peerId, deadline),
      signal
    )
  }

  private searchPeers(
    digest: Digest,
    likely: readonly string[],
    asked: Set<string>,
    ask: Ask,
    signal: AbortSignal
  ): Promise<void> {
    const { directory, discovery, seeds } = this.#components
    const components = {
      connected: () => directory.connected(),
      seeds,
      holders: (wanted: Digest) => discovery.holders(wanted),
      findProviders: (wanted: Digest, deadline: AbortSignal) => discovery.findProviders(wanted, deadline),
      random: Math.random
    }
    return searchPeers(digest, likely, asked, ask, components, this.#options, signal)
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
    const { directory, discovery } = this.#components
    if (directory.isBanned(peerId)) return []
    try {
      const channel = await this.#channels.open(peerId, signal)
      if (channel.hasJoined(download.digest)) return []
      const answer = await channel.join(download.digest, signal)
      const named = await this.learnPeers(answer.peers)
      if ('size' in answer) {
        discovery.remember(download.digest, peerId)
        await this.consider(download, peerId, answer)
      } else discovery.forget(download.digest, peerId)
      return named
    } catch (error) {
      discovery.forget(download.digest, peerId)
      if (error instanceof MeshError && error.code === 'PEER_MISBEHAVED')
        directory.ban(peerId, 'malformed', LIMITS.malformedBanMs)
      return []
    }
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
    const offer = await this.check(download.digest, peerId, answer)
    if (download.settled) return
    if (offer.map === undefined) await this.takeSmall(download, offer)
    else if (download.blob) this.joinSwarm(download, offer)
    else if (download.begun || !offer.map.trusted) download.waiting.push(offer)
    else await this.begin(download, offer)
  }

  /** @throws {MeshError} PEER_MISBEHAVED when the offer contradicts itself */
  private async check(digest: Digest, peerId: string, answer: Joined): Promise<CheckedOffer> {
    const refuse = (what: string, cause?: unknown) => new MeshError('PEER_MISBEHAVED', what, { peerId, cause })
    const pieces = offeredPieces(answer)
    if (!pieces) throw refuse('the offered pieces do not fit the length')
    if (pieceCount(answer.size) <= 1) return { peerId, size: answer.size, pieces }
    if (!answer.pieceMap) throw refuse('an offer without piece map')
    const opened = await openPieceMap(answer.pieceMap).catch((cause) => {
      throw refuse('the piece map is not valid', cause)
    })
    if (opened.map.digest !== digest || opened.map.length !== answer.size)
      throw refuse('the piece map is for another blob')
    const trusted = this.#components.mayVouch(opened.signer)
    return {
      peerId,
      size: answer.size,
      pieces,
      map: { pieces: opened.map, envelope: answer.pieceMap, signer: opened.signer, trusted }
    }
  }

  private async begin(download: Download, offer: CheckedOffer): Promise<void> {
    const { content } = this.#components
    try {
      const blob = await download.begin(offer)
      if (offer.map?.trusted) await content.pieceMaps.put(download.digest, offer.map.envelope)
      this.step({
        type: 'want',
        digest: download.digest,
        size: blob.size,
        pieceLength: blob.pieceLength,
        held: heldPieces(blob)
      })
      blob.onAwait((piece) => this.step({ type: 'awaited', digest: download.digest, piece }))
      for (const piece of blob.awaitedPieces()) this.step({ type: 'awaited', digest: download.digest, piece })
      this.joinSwarm(download, offer)
      for (const other of download.waiting.splice(0)) this.joinSwarm(download, other)
    } catch (error) {
      download.fail(error instanceof Error ? error : new Error('the download could not begin', { cause: error }))
    }
  }

  /** When the search ends and nobody trusted vouched for the pieces, an untrusted map has to do; the whole is verified before it is used. */
  private async settleForLess(download: Download): Promise<void> {
    const [offer] = download.waiting
    if (offer && !download.begun && !download.settled) await this.begin(download, offer)
  }

  private joinSwarm(download: Download, offer: CheckedOffer): void {
    if (offer.size !== download.blob?.size) return
    const scope = this.#components.directory.scope(offer.peerId)
    for (const piece of download.earlyPieces.get(offer.peerId) ?? []) offer.pieces.set(piece)
    download.earlyPieces.delete(offer.peerId)
    download.joined.add(offer.peerId)
    this.step({ type: 'peer-joined', digest: download.digest, peer: offer.peerId, scope, pieces: offer.pieces })
  }

  /**
   * A blob of at most one piece comes whole or not at all, from one peer after the other until one brings it; its length
   * is believed only with its bytes.
   */
  private async takeSmall(download: Download, offer: CheckedOffer): Promise<void> {
    download.smallOffers.push(offer)
    // Whoever is at it goes on with this offer when the one before it fails.
    if (download.takingSmall) return
    download.takingSmall = true
    try {
      for (let next = download.smallOffers.shift(); next && !download.settled; next = download.smallOffers.shift()) {
        await this.trySmall(download, next)
      }
    } finally {
      download.takingSmall = false
    }
  }

  private async trySmall(download: Download, offer: CheckedOffer): Promise<void> {
    const bytes = offer.size === 0 ? new Uint8Array() : await this.askSmall(download.digest, offer)
    if (bytes === undefined || download.settled) return
    download.count(offer.peerId, bytes.byteLength)
    if (!isBlob(download.digest, bytes)) return this.blame(offer.peerId, download.digest, 0, 'wrong-bytes')
    try {
      const blob = await download.begin(offer)
      if (bytes.byteLength > 0) await blob.write(0, bytes)
      download.complete()
    } catch (error) {
      download.fail(error instanceof Error ? error : new Error('the blob could not be kept', { cause: error }))
    }
  }

  private async askSmall(digest: Digest, { peerId, size }: CheckedOffer): Promise<Uint8Array | undefined> {
    const channel = this.#channels.get(peerId)
    const key = `${peerId} ${digest}`
    if (!channel || this.#smallWaits.has(key)) return undefined
    const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>()
    this.#smallWaits.set(key, resolve)
    const timer = setTimeout(() => {
      resolve(undefined)
      const silentMs = this.#components.now() - (this.#heardAt.get(peerId) ?? 0)
      if (silentMs >= SMALL_BLOB_DEADLINE_MS) this.blame(peerId, digest, 0, 'silent')
    }, SMALL_BLOB_DEADLINE_MS)
    channel.request(digest, 0, size)
    return await promise.finally(() => {
      clearTimeout(timer)
      this.#smallWaits.delete(key)
    })
  }

  private blame(peerId: string, digest: Digest, piece: number, reason: 'wrong-bytes' | 'malformed' | 'silent'): void {
    this.#components.observer.pieceFailed({ peerId, digest, piece, reason })
    this.#components.directory.ban(peerId, reason, reason === 'silent' ? LIMITS.silentBanMs : LIMITS.malformedBanMs)
  }

  /**
   * Waits for the whole blob and judges the map by it: one that was proved is kept for peers, and the signer of one
   * whose pieces do not make the blob lied.
   */
  private async judgeMap({ digest, map }: Download): Promise<void> {
    const { content, directory, observer } = this.#components
    if (!map) return
    try {
      await content.downloads.whole(digest)
      if (!map.trusted) await content.pieceMaps.put(digest, map.envelope)
    } catch (error) {
      const cause = error instanceof Error ? (error.cause as { code?: unknown } | undefined) : undefined
      if (cause?.code !== 'DIGEST_MISMATCH') return
      observer.pieceFailed({ peerId: map.signer, digest, piece: -1, reason: 'wrong-map' })
      directory.ban(map.signer, 'wrong-map', WRONG_MAP_BAN_MS)
      await content.pieceMaps.delete(digest).catch(() => {})
    }
  }

  // --- what the channels tell

  progress(peerId: string): void {
    this.#heardAt.set(peerId, this.#components.now())
    this.step({ type: 'progress', peer: peerId })
  }

  have(peerId: string, digest: Digest, pieces: readonly number[]): void {
    const download = this.#downloads.get(digest)
    if (download && !download.joined.has(peerId)) download.noteEarlyPieces(peerId, pieces)
    this.step({ type: 'peer-has', digest, peer: peerId, pieces })
  }

  piece(peerId: string, digest: Digest, piece: number, bytes: Buffer): void {
    this.#components.directory.countReceived(peerId, bytes.byteLength)
    const smallWait = this.#smallWaits.get(`${peerId} ${digest}`)
    if (smallWait) return smallWait(bytes)
    this.keepPiece(peerId, digest, piece, bytes).finally(() => this.#buffers.give(bytes))
  }

  private async keepPiece(peerId: string, digest: Digest, piece: number, bytes: Buffer): Promise<void> {
    const download = this.#downloads.get(digest)
    if (!download?.blob) return
    if (!download.verify(piece, bytes)) return this.pieceFailed(peerId, digest, piece, 'wrong-bytes')
    download.count(peerId, bytes.byteLength)
    try {
      await download.blob.write(piece, bytes)
    } catch (error) {
      return download.fail(error instanceof Error ? error : new Error('a piece could not be kept', { cause: error }))
    }
    this.#components.serving.pieceKept(digest, piece)
    this.step({ type: 'piece-arrived', digest, peer: peerId, piece })
  }

  rejected(peerId: string, digest: Digest, piece: number, reason: RejectReason): void {
    const smallWait = this.#smallWaits.get(`${peerId} ${digest}`)
    if (smallWait) return smallWait(undefined)
    const failures = { busy: 'busy', 'not-held': 'not-held', 'shutting-down': 'lost', cancelled: 'lost' } as const
    this.step({ type: 'piece-failed', digest, peer: peerId, piece, reason: failures[reason] })
  }

  closed(peerId: string): void {
    this.#heardAt.delete(peerId)
    for (const [key, resolve] of this.#smallWaits) if (key.startsWith(`${peerId} `)) resolve(undefined)
    this.step({ type: 'peer-gone', peer: peerId })
  }

  private pieceFailed(peerId: string, digest: Digest, piece: number, reason: PieceFailure): void {
    this.#components.observer.pieceFailed({ peerId, digest, piece, reason })
    this.step({ type: 'piece-failed', digest, peer: peerId, piece, reason })
  }

  // --- what the swarm decides

  private step(event: SwarmEvent): void {
    for (const action of this.#swarm.step(this.#components.now(), event)) this.perform(action)
  }

  private perform(action: SwarmAction): void {
    switch (action.type) {
      case 'request':
        return this.requestPiece(action.peer, action.digest, action.piece)
      case 'cancel':
        return this.#channels.get(action.peer)?.cancel(action.digest, action.piece)
      case 'ban':
        return this.#components.directory.ban(action.peer, action.reason, action.forMs)
      case 'find-peers':
        return void this.searchAgain(action.digest)
      case 'complete':
        return this.#downloads.get(action.digest)?.complete()
      case 'give-up':
        return this.#downloads
          .get(action.digest)
          ?.fail(new MeshError('SOURCES_EXHAUSTED', `nobody brings the rest of ${action.digest}`))
    }
  }

  private requestPiece(peerId: string, digest: Digest, piece: number): void {
    const channel = this.#channels.get(peerId)
    const blob = this.#downloads.get(digest)?.blob
    if (channel && blob) {
      const { start, end } = pieceRange(piece, blob.size, blob.pieceLength)
      channel.request(digest, piece, end - start)
    } else queueMicrotask(() => this.step({ type: 'piece-failed', digest, peer: peerId, piece, reason: 'lost' }))
  }

  private async searchAgain(digest: Digest): Promise<void> {
    const download = this.#downloads.get(digest)
    if (!download) return
    download.asked.clear()
    await this.search(download, AbortSignal.timeout(LIMITS.joinDeadlineMs))
    this.step({ type: 'search-ended', digest })
  }
}

/**
 * Blobs of many pieces: `swarm` is the head that decides who is asked for which piece, this is the hands. It tells the
 * swarm what happens and carries out what it decides. The store verifies each piece that it takes in, and once it is
 * there it is offered to others.
 */
import { isContentError } from '@layermesh/content'
import { type Digest, pieceRange } from '@layermesh/oci'
import { type PieceFailure, Swarm, type SwarmAction, type SwarmEvent, type SwarmOptions } from '@layermesh/swarm'
import { MeshError } from '../errors.ts'
import type { MeshObserver } from '../interfaces.ts'
import type { PeerDirectory } from '../network/peer-directory.ts'
import type { RejectReason } from '../wire/frames.ts'
import type { Channel } from './channel.ts'
import { type Download, heldPieces } from './download.ts'
import type { CheckedOffer } from './offers.ts'
import type { Serving } from './serving.ts'

export interface PiecesComponents {
  /** Peer id of this node. */
  readonly self: string
  readonly directory: Pick<PeerDirectory, 'ban' | 'isBanned' | 'scope'>
  readonly observer: Pick<MeshObserver, 'pieceFailed'>
  readonly serving: Pick<Serving, 'pieceKept' | 'pieceEntered' | 'piecesFetching'>
  channel(peerId: string): Channel | undefined
  download(digest: Digest): Download | undefined
  /** Looks for more peers that share the blob; resolves when nobody else will turn up for now. */
  search(download: Download): Promise<void>
  /** Milliseconds of a clock that never goes back. */
  now(): number
}

const TICK_MS = 100

const FAILURES: Readonly<Record<RejectReason, PieceFailure>> = {
  busy: 'busy',
  'not-held': 'not-held',
  given: 'given',
  'shutting-down': 'lost',
  cancelled: 'lost'
}

export class Pieces {
  readonly #components: PiecesComponents
  readonly #swarm: Swarm
  /** Runs while the swarm waits for anything. */
  #ticker: NodeJS.Timeout | undefined

  constructor(components: PiecesComponents, options: Partial<SwarmOptions> = {}) {
    this.#components = components
    this.#swarm = new Swarm(components.self, options)
  }

  /** Begins to bring the pieces of a download that has begun. */
  want(download: Download): void {
    const { digest, blob, ledger } = download
    if (!blob) return
    this.#ticker ??= setInterval(() => this.step({ type: 'tick' }), TICK_MS)
    const { size, pieceLength } = blob
    this.step({ type: 'want', digest, size, pieceLength, held: heldPieces(blob), entering: ledger !== undefined })
    blob.onAwait((piece) => this.step({ type: 'awaited', digest, piece }))
    for (const piece of blob.awaitedPieces()) this.step({ type: 'awaited', digest, piece })
  }

  /** No more pieces of a blob are needed. */
  stop(digest: Digest): void {
    this.step({ type: 'stop', digest })
  }

  /** The pieces of a blob that this node brings in from an origin or from afar at this moment. */
  fetchingNow(digest: Digest): number[] {
    return this.#swarm.fetching(digest)
  }

  // --- what comes from outside the mesh

  /** Says that this node brings in what no peer offers, or does so no more. */
  setGateway(digest: Digest, on: boolean): void {
    this.step({ type: 'gateway', digest, on })
  }

  /** Something of a piece came that is not whole yet: those who wait for it hear that it is on its way. */
  entered(digest: Digest, piece: number): void {
    this.step({ type: 'entered', digest })
    this.#components.serving.piecesFetching(digest, [piece])
  }

  /** The first piece other than `except` that is not here and that no peer offers. */
  firstUnoffered(digest: Digest, except?: number): number | undefined {
    return this.#swarm.firstUnoffered(digest, except)
  }

  /** When payload of a blob came last, and when anything was heard of it; undefined when it is not wanted. */
  lastHeard(digest: Digest): { readonly payloadAt: number; readonly progressAt: number } | undefined {
    return this.#swarm.lastHeard(digest)
  }

  /** Keeps a piece that came from outside the mesh. Memory as in {@link keep}; what goes wrong ends the download. */
  async keepEntered(download: Download, piece: number, bytes: Buffer): Promise<Uint8Array | undefined> {
    const { digest, blob } = download
    if (!blob || download.settled) return bytes
    try {
      const hash = download.ledger?.hash(piece)
      const memory = await blob.write(piece, bytes, { giveMemory: true, ...(hash && { hash }) })
      this.step({ type: 'entered', digest, piece })
      await this.tellEntered(download, piece)
      return memory
    } catch (error) {
      download.fail(error instanceof Error ? error : new Error('a piece could not be kept', { cause: error }))
      return undefined
    }
  }

  /** Vouches for the pieces that are here from the first on without a gap, and tells of them. */
  private async tellEntered(download: Download, brought: number): Promise<void> {
    const { digest, blob, ledger } = download
    if (!blob) return
    if (!ledger || brought < download.toldPieces) return this.#components.serving.pieceEntered(digest, brought)
    for (let hash = blob.pieceHash(ledger.count); hash; hash = blob.pieceHash(ledger.count)) {
      ledger.append(hash, ledger.count === brought)
    }
    await ledger.sign()
    for (let piece = download.toldPieces; piece < ledger.signedCount; piece++) {
      if (blob.has(piece)) this.#components.serving.pieceEntered(digest, piece)
    }
    download.toldPieces = Math.max(download.toldPieces, ledger.signedCount)
  }

  /** A peer no longer shares the blob. */
  left(peerId: string, digest: Digest): void {
    this.#components.download(digest)?.joined.delete(peerId)
    this.step({ type: 'peer-left', digest, peer: peerId })
  }

  /** A peer shares the blob. */
  joined(download: Download, offer: CheckedOffer): void {
    if (offer.size !== download.blob?.size) return
    const { peerId: peer, pieces, fetching } = offer
    for (const piece of download.earlyPieces.get(peer) ?? []) pieces.set(piece)
    download.earlyPieces.delete(peer)
    const scope = this.#components.directory.scope(peer)
    download.joined.set(peer, scope)
    this.step({ type: 'peer-joined', digest: download.digest, peer, scope, pieces, fetching })
  }

  // --- what the channels tell

  progress(peerId: string, bytes: number): void {
    if (this.#ticker) this.step({ type: 'progress', peer: peerId, bytes })
  }

  have(peerId: string, digest: Digest, pieces: readonly number[]): void {
    const download = this.#components.download(digest)
    if (download && !download.joined.has(peerId)) download.noteEarlyPieces(peerId, pieces)
    this.step({ type: 'peer-has', digest, peer: peerId, pieces })
  }

  fetching(peerId: string, digest: Digest, pieces: readonly number[]): void {
    this.step({ type: 'peer-fetching', digest, peer: peerId, pieces })
  }

  /** Keeps a piece if its bytes are right. Their memory is gone with them; resolves with some that may be used. */
  async keep(peerId: string, digest: Digest, piece: number, bytes: Buffer): Promise<Uint8Array | undefined> {
    const download = this.#components.download(digest)
    if (!download?.blob) return bytes
    const { byteLength } = bytes
    const { ledger } = download
    const hash = ledger?.hash(piece)
    if (ledger && !hash) {
      this.rejected(peerId, digest, piece, 'not-held')
      return bytes
    }
    try {
      const memory = await download.blob.write(piece, bytes, { giveMemory: true, ...(hash && { hash }) })
      download.count(peerId, byteLength)
      if (ledger && piece >= ledger.signedCount) await ledger.sign()
      this.#components.serving.pieceKept(digest, piece)
      this.step({ type: 'piece-arrived', digest, peer: peerId, piece })
      return memory
    } catch (error) {
      if (isContentError(error, 'PIECE_MISMATCH')) this.mismatched(peerId, digest, piece)
      else download.fail(error instanceof Error ? error : new Error('a piece could not be kept', { cause: error }))
      return undefined
    }
  }

  rejected(peerId: string, digest: Digest, piece: number, reason: RejectReason): void {
    this.step({ type: 'piece-failed', digest, peer: peerId, piece, reason: FAILURES[reason] })
  }

  gone(peerId: string): void {
    this.step({ type: 'peer-gone', peer: peerId })
  }

  /** The first of the wrong pieces that were on their way together has the peer banned. */
  private mismatched(peerId: string, digest: Digest, piece: number): void {
    if (!this.#components.directory.isBanned(peerId)) this.failed(peerId, digest, piece, 'wrong-bytes')
  }

  private failed(peerId: string, digest: Digest, piece: number, reason: PieceFailure): void {
    this.#components.observer.pieceFailed({ peerId, digest, piece, reason })
    this.step({ type: 'piece-failed', digest, peer: peerId, piece, reason })
  }

  // --- what the swarm decides

  private step(event: SwarmEvent): void {
    for (const action of this.#swarm.step(this.#components.now(), event)) this.perform(action)
    if (!this.#swarm.idle) return
    clearInterval(this.#ticker)
    this.#ticker = undefined
  }

  private perform(action: SwarmAction): void {
    const { channel, directory, download, serving } = this.#components
    switch (action.type) {
      case 'request':
        return this.request(action.peer, action.digest, action.piece)
      case 'cancel':
        return channel(action.peer)?.cancel(action.digest, action.piece)
      case 'tell-fetching':
        return serving.piecesFetching(action.digest, action.pieces)
      case 'ban':
        return directory.ban(action.peer, action.reason, action.forMs)
      case 'find-peers':
        return void this.searchAgain(action.digest)
      case 'complete':
        return download(action.digest)?.complete()
      case 'give-up':
        return download(action.digest)?.fail(
          new MeshError('SOURCES_EXHAUSTED', `nobody brings the rest of ${action.digest}`)
        )
    }
  }

  private request(peerId: string, digest: Digest, piece: number): void {
    const channel = this.#components.channel(peerId)
    const blob = this.#components.download(digest)?.blob
    if (channel && blob) {
      const { start, end } = pieceRange(piece, blob.size, blob.pieceLength)
      channel.request(digest, piece, end - start)
    } else queueMicrotask(() => this.step({ type: 'piece-failed', digest, peer: peerId, piece, reason: 'lost' }))
  }

  private async searchAgain(digest: Digest): Promise<void> {
    const download = this.#components.download(digest)
    if (!download) return
    await this.#components.search(download)
    this.step({ type: 'search-ended', digest })
  }
}

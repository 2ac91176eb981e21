/**
 * How a blob comes into the mesh: this node takes from its origin what no peer offers, in the order of the blob, and
 * gives each piece to the store, from where readers and peers have it at once. One body of the origin is open at a time;
 * when peers have what would come next, it is closed and opened again behind that.
 */
import { setTimeout as wait } from 'node:timers/promises'
import type { PartialBlob } from '@layermesh/content'
import { digestAlgorithm, digestOf, pieceCount, pieceRange } from '@layermesh/oci'
import type { BufferPool } from '../buffer-pool.ts'
import { MeshError } from '../errors.ts'
import type { BlobOrigin, MeshObserver } from '../interfaces.ts'
import { LIMITS } from '../limits.ts'
import { ByteStream } from './byte-stream.ts'
import type { Download } from './download.ts'
import type { Pieces } from './pieces.ts'

export interface OriginFeedComponents {
  readonly pieces: Pick<Pieces, 'setGateway' | 'entered' | 'keepEntered' | 'firstUnoffered'>
  /** Memory for pieces that come. */
  readonly buffers: BufferPool
  readonly observer: Pick<MeshObserver, 'received'>
  /** The download has begun here: its pieces may be brought and shared. */
  began(download: Download): void
  /** Milliseconds of a clock that never goes back. */
  now(): number
}

/** The swarm hears of a slow origin so often. */
const TELL_ENTERED_EVERY_MS = 500
const LOOK_EVERY_MS = 100

export class OriginFeed {
  readonly #components: OriginFeedComponents
  readonly #download: Download
  readonly #origin: BlobOrigin
  #stream: { readonly bytes: ByteStream; at: number } | undefined
  /** A piece that is being hashed and written. */
  #keeping: { readonly piece: number; readonly done: Promise<void> } | undefined
  /** How many pieces are here, and since when. */
  #held: { readonly pieces: number; readonly at: number }
  /** A piece that comes at this moment. */
  #piece: number | undefined
  #toldAt = Number.NEGATIVE_INFINITY
  /** When bytes came from the origin last. */
  #heardAt: number

  constructor(components: OriginFeedComponents, download: Download, origin: BlobOrigin) {
    this.#components = components
    this.#download = download
    this.#origin = origin
    this.#heardAt = components.now()
    this.#held = { pieces: 0, at: this.#heardAt }
  }

  /** When the origin gave anything last, by the clock of the components. */
  get heardAt(): number {
    return this.#heardAt
  }

  /** The piece that comes from the origin at this moment. */
  get piece(): number | undefined {
    return this.#piece
  }

  /**
   * Brings the blob; resolves when all of it is here, or the download has ended otherwise.
   * @throws {MeshError} ORIGIN_FAILED; what the origin throws
   */
  async run(signal: AbortSignal): Promise<void> {
    const ended = new AbortController()
    const stop = AbortSignal.any([signal, ended.signal])
    try {
      const blob = await this.#download.beginning
      const size = blob?.size ?? (await this.open(0, stop))
      this.checkSize(size)
      if (pieceCount(size) > 1) await this.bringPieces(size, stop)
      else if (!blob) await this.bringSmall(size)
    } finally {
      ended.abort()
      this.close()
    }
  }

  /** Opens the origin at an offset. @returns the length of the blob */
  private async open(start: number, signal: AbortSignal): Promise<number> {
    this.close()
    const stop = new AbortController()
    const opening = AbortSignal.any([signal, stop.signal, AbortSignal.timeout(LIMITS.originOpenDeadlineMs)])
    const { promise: late, reject } = Promise.withResolvers<never>()
    opening.addEventListener('abort', () => reject(new MeshError('ORIGIN_FAILED', 'the origin did not answer in time')))
    const { digest } = this.#download
    // The deadline is for the answer alone: the body has its own.
    const opened = await Promise.race([this.#origin.open(digest, start, AbortSignal.any([signal, stop.signal])), late])
    if (!opened) throw new MeshError('ORIGIN_FAILED', `${this.#origin.name} does not have ${digest}`)
    this.#heardAt = this.#components.now()
    this.#stream = { bytes: new ByteStream(opened.body, stop, LIMITS.originStallMs), at: start }
    return opened.size
  }

  private close(): void {
    this.#stream?.bytes.close()
    this.#stream = undefined
  }

  private checkSize(size: number): void {
    const { request, blob } = this.#download
    const wanted = request.size ?? blob?.size
    if (wanted !== undefined && size !== wanted)
      throw new MeshError('ORIGIN_FAILED', `${this.#origin.name} has ${size} bytes where ${wanted} are wanted`)
    if (request.maxBytes !== undefined && size > request.maxBytes)
      throw new MeshError('ORIGIN_FAILED', `${this.#origin.name} has more than ${request.maxBytes} bytes`)
  }

  /** A blob of at most one piece: its digest proves it, before anybody sees it. */
  private async bringSmall(size: number): Promise<void> {
    const { digest } = this.#download
    const bytes = Buffer.allocUnsafeSlow(size)
    await this.take(bytes, 0)
    if (digestOf(bytes, digestAlgorithm(digest)) !== digest)
      throw new MeshError('ORIGIN_FAILED', `${this.#origin.name} gave other bytes than ${digest}`)
    if (this.#download.settled) return
    try {
      const blob = await this.#download.beginEntering(size)
      if (size > 0) await blob.write(0, bytes)
      this.#download.complete()
    } catch (error) {
      this.#download.fail(error instanceof Error ? error : new Error('the blob could not be kept', { cause: error }))
    }
  }

  private async bringPieces(size: number, signal: AbortSignal): Promise<void> {
    const { pieces, began } = this.#components
    const { digest, begun } = this.#download
    const blob = await this.#download.beginEntering(size)
    if (!begun) began(this.#download)
    pieces.setGateway(digest, true)
    try {
      while (!this.#download.settled && !signal.aborted) {
        const piece = this.nextPiece(blob)
        if (piece !== undefined) await this.bringPiece(blob, piece, signal)
        else await wait(LOOK_EVERY_MS, undefined, { signal, ref: false }).catch(() => {})
      }
      await this.#keeping?.done
    } finally {
      pieces.setGateway(digest, false)
    }
  }

  /** What nobody offers, in the order of the blob; when peers bring nothing of what they offer, that too. */
  private nextPiece(blob: PartialBlob): number | undefined {
    const { pieces, now } = this.#components
    const { heldPieces } = blob
    if (heldPieces !== this.#held.pieces) this.#held = { pieces: heldPieces, at: now() }
    const keeping = this.#keeping?.piece
    const unoffered = pieces.firstUnoffered(this.#download.digest, keeping)
    if (unoffered !== undefined || now() - this.#held.at < LIMITS.originInsistMs) return unoffered
    for (let piece = 0; piece < blob.pieceCount; piece++) if (!blob.has(piece) && piece !== keeping) return piece
    return undefined
  }

  private async bringPiece(blob: PartialBlob, piece: number, signal: AbortSignal): Promise<void> {
    const { buffers, pieces } = this.#components
    const { start, end } = pieceRange(piece, blob.size, blob.pieceLength)
    const bytes = buffers.take(end - start)
    this.#piece = piece
    try {
      if (this.#stream?.at !== start) this.checkSize(await this.open(start, signal))
      await this.take(bytes, piece)
    } finally {
      this.#piece = undefined
    }
    // One piece is hashed and written while the next one comes.
    await this.#keeping?.done
    const done = pieces.keepEntered(this.#download, piece, bytes).then((memory) => memory && buffers.give(memory))
    this.#keeping = { piece, done }
    void done.finally(() => {
      if (this.#keeping?.piece === piece) this.#keeping = undefined
    })
  }

  private async take(target: Buffer, piece: number): Promise<void> {
    const { observer, now, pieces } = this.#components
    const stream = this.#stream
    if (!stream) throw new MeshError('ORIGIN_FAILED', 'the origin is closed')
    await stream.bytes.fill(target, (bytes) => {
      stream.at += bytes
      this.#heardAt = now()
      this.#download.countOrigin(this.#origin.name, bytes)
      observer.received({ source: 'upstream', origin: this.#origin.name, scope: 'far', bytes })
      if (this.#heardAt - this.#toldAt < TELL_ENTERED_EVERY_MS) return
      this.#toldAt = this.#heardAt
      pieces.entered(this.#download.digest, piece)
    })
  }
}

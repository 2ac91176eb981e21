import { type Digest, pieceCount, pieceLengthFor, pieceRange } from '@layermesh/oci'
import type { UploadRefusal } from '@layermesh/swarm'
import type { Stream } from '@libp2p/interface'
import { MeshError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import type { Loans } from '../loans.ts'
import type { PeerDirectory } from '../network/peer-directory.ts'
import {
  decodeJoin,
  decodeLeave,
  encodeHave,
  encodeJoined,
  encodeRefused,
  type Join,
  type Refused
} from '../wire/blob-messages.ts'
import { malformed } from '../wire/fields.ts'
import {
  decodeCancel,
  decodeRequest,
  encodeDataHeader,
  encodeReject,
  FRAME,
  type Frame,
  FrameReader,
  type PieceRequest
} from '../wire/frames.ts'
import type { Growth } from './piece-ledger.ts'
import type { Interest, Shelf } from './sharing.ts'
import { isWritable, StreamSender } from './stream-sender.ts'

/** A piece that a peer asks for. */
export interface PieceWanted {
  readonly session: ServingSession
  /** As the peer names it. */
  readonly requestId: number
  readonly digest: Digest
  readonly piece: number
  readonly start: number
  readonly bytes: number
  /** How many pieces the blob has. */
  readonly pieces: number
  /** Whether all of the blob was here when the peer joined it, or this node brings it into the mesh. */
  readonly whole: boolean
}

export interface SessionComponents {
  readonly directory: Pick<PeerDirectory, 'countSent' | 'ban'>
  readonly shelf: Shelf
  readonly loans: Loans
  readonly interest: Interest
  /** Whether one more peer may take from this node a blob that is wholly here. */
  mayJoinWhole(digest: Digest): boolean
  /** Puts a request in its place. @returns its number */
  wanted(wanted: PieceWanted): number
  cancelled(request: number): void
  sent(request: number, bytes: number): void
  finished(request: number): void
  ended(): void
}

interface SharedBlob {
  readonly digest: Digest
  readonly size: number
  readonly pieceLength: number
  /** What the peer was not told yet; undefined when it was told that all pieces are here. */
  readonly untold: News | undefined
  /** How many hashes it was told, of a blob that comes into the mesh. */
  toldHashes: number | undefined
}

/** What has come of a blob, and what is coming. */
interface News {
  readonly pieces: number[]
  readonly fetching: Set<number>
}

const TELL_EVERY_MS = 50
/** A peer whose requests wait for their turn hears from this node so often, and knows that it is not dead. */
const SIGN_OF_LIFE_EVERY_MS = 1_000
const MAX_UNTOLD = 4_096

/** One stream of one peer: answers joins, tells of new pieces, sends what the scheduler says. */
export class ServingSession {
  readonly peerId: string
  readonly #stream: Stream
  readonly #sender: StreamSender
  readonly #components: SessionComponents
  readonly #reader = new FrameReader()
  readonly #blobs = new Map<number, SharedBlob>()
  /** Requests that were neither answered nor refused: their number here, by the peer's. */
  readonly #requests = new Map<number, number>()
  readonly #sending = new Set<number>()
  /** Joins that are being looked up; a piece that comes meanwhile is noted here, or nobody would tell of it. */
  readonly #joining = new Map<number, { digest: Digest; untold: News }>()
  /** The last piece that is being written; the next one waits for it, so that each is soon whole. */
  #writing: Promise<void> = Promise.resolve()
  #ended = false
  #tellTimer: NodeJS.Timeout | undefined
  #signOfLife: NodeJS.Timeout | undefined

  constructor(peerId: string, stream: Stream, components: SessionComponents) {
    this.peerId = peerId
    this.#stream = stream
    this.#sender = new StreamSender(stream)
    this.#components = components
    stream.addEventListener('message', ({ data }) => {
      try {
        for (const frame of this.#reader.push(data)) this.take(frame)
      } catch (error) {
        this.misbehaved(error instanceof Error ? error.message : 'unreadable frame')
      }
    })
    stream.addEventListener('remoteCloseWrite', () =>
      this.end(new MeshError('PEER_UNREACHABLE', 'the peer ended the stream'))
    )
    stream.addEventListener('close', () => this.end(new MeshError('PEER_UNREACHABLE', 'the stream ended')))
  }

  hasJoined(digest: Digest): boolean {
    for (const blob of this.#blobs.values()) if (blob.digest === digest) return true
    return false
  }

  /** Tells the peer soon, if it joined this blob and does not have it said to be whole. */
  tell(digest: Digest, { pieces = [], fetching = [] }: { pieces?: number[]; fetching?: readonly number[] }): void {
    for (const { digest: joined, untold } of [...this.#blobs.values(), ...this.#joining.values()]) {
      if (joined !== digest || untold === undefined || untold.pieces.length >= MAX_UNTOLD) continue
      for (const piece of pieces) untold.fetching.delete(piece)
      for (const piece of fetching) untold.fetching.add(piece)
      untold.pieces.push(...pieces)
      this.#tellTimer ??= setTimeout(() => this.tellNews(), TELL_EVERY_MS)
    }
  }

  /** Sends a piece that was asked for. */
  async send(request: number, wanted: PieceWanted): Promise<void> {
    const { start, bytes, digest } = wanted
    this.#sending.add(request)
    const { shelf, loans } = this.#components
    const reading = shelf.read(digest, { start, end: start + bytes }, loans.memory(bytes)).catch(() => undefined)
    const before = this.#writing
    this.#writing = before
      .then(async () => this.write(request, wanted, await reading))
      .catch((error) => this.fail(error))
    await this.#writing
  }

  refuse({ requestId }: PieceWanted, reason: UploadRefusal | 'not-held' | 'cancelled'): void {
    this.#requests.delete(requestId)
    this.put(encodeReject(requestId, reason))
    this.quieten()
  }

  end(error: MeshError): void {
    if (this.#ended) return
    this.#ended = true
    clearTimeout(this.#tellTimer)
    clearInterval(this.#signOfLife)
    this.#requests.clear()
    this.#blobs.clear()
    if (this.#stream.status === 'open' || this.#stream.status === 'closing') this.#stream.abort(error)
    this.#components.ended()
  }

  /** Resolves when nothing is read or written any more. */
  async idle(): Promise<void> {
    await this.#writing
  }

  private take({ type, body }: Frame): void {
    switch (type) {
      case FRAME.join:
        return this.join(decodeJoin(body))
      case FRAME.leave:
        this.#blobs.delete(decodeLeave(body))
        return
      case FRAME.request:
        return this.request(decodeRequest(body))
      case FRAME.cancel:
        return this.cancel(decodeCancel(body))
      default:
        throw malformed(`frame type ${type} on the giving side`)
    }
  }

  private join(join: Join): void {
    if (this.#blobs.has(join.joinId) || this.#joining.has(join.joinId)) throw malformed('a join id used twice')
    if (this.#blobs.size + this.#joining.size >= LIMITS.joinsPerStream) {
      this.put(encodeRefused({ joinId: join.joinId, reason: 'busy', peers: [] }))
      return
    }
    const untold = { pieces: [], fetching: new Set<number>() }
    this.#joining.set(join.joinId, { digest: join.digest, untold })
    this.answerJoin(join, untold)
      .catch(() => this.put(encodeRefused({ joinId: join.joinId, reason: 'unknown', peers: [] })))
      .finally(() => this.#joining.delete(join.joinId))
  }

  private async answerJoin({ joinId, digest, within }: Join, untold: News): Promise<void> {
    const { shelf, interest, mayJoinWhole } = this.#components
    // Before the look at what is here: of what begins meanwhile, whoever is refused is told afterwards.
    if (within === undefined) interest.asked(digest, this.peerId)
    const [offer, peers] = await Promise.all([shelf.offer(digest, within), interest.peers(digest, this.peerId)])
    if (this.#ended) return
    // Whoever may not be told of the blob is not told who asks for it either.
    if (within !== undefined && offer) interest.asked(digest, this.peerId)
    if (!offer) {
      const refusal: Refused = { joinId, reason: 'unknown', peers: within === undefined ? peers : [] }
      return this.put(encodeRefused(refusal))
    }
    const whole = offer.held === undefined
    if (whole && within === undefined && peers.length > 0 && !mayJoinWhole(digest))
      return this.put(encodeRefused({ joinId, reason: 'busy', peers }))
    const pieceLength = pieceLengthFor(offer.size)
    const toldHashes = offer.growth?.count
    this.#blobs.set(joinId, { digest, size: offer.size, pieceLength, untold: whole ? undefined : untold, toldHashes })
    this.put(encodeJoined({ joinId, peers, ...offer }))
  }

  private request({ requestId, joinId, piece }: PieceRequest): void {
    const blob = this.#blobs.get(joinId)
    if (this.#requests.has(requestId)) throw malformed('a request id used twice')
    const pieces = blob ? pieceCount(blob.size, blob.pieceLength) : 0
    if (!blob || piece >= pieces) return this.put(encodeReject(requestId, 'not-held'))
    const { start, end } = pieceRange(piece, blob.size, blob.pieceLength)
    // It has its place before the scheduler is asked, which may answer at once.
    this.#requests.set(requestId, 0)
    const { digest } = blob
    const whole = blob.untold === undefined || this.#components.shelf.bringsIn(digest)
    const wanted = { session: this, requestId, digest, piece, start, bytes: end - start, pieces, whole }
    const request = this.#components.wanted(wanted)
    if (this.#requests.has(requestId)) this.#requests.set(requestId, request)
    if (this.#requests.size > 0) this.#signOfLife ??= setInterval(() => this.giveSignOfLife(), SIGN_OF_LIFE_EVERY_MS)
  }

  private cancel(requestId: number): void {
    const request = this.#requests.get(requestId)
    // What is being sent already is sent to its end; the asker takes it off the stream.
    if (request === undefined || this.#sending.has(request)) return
    this.#requests.delete(requestId)
    this.#components.cancelled(request)
    this.put(encodeReject(requestId, 'cancelled'))
    this.quieten()
  }

  private async write(request: number, wanted: PieceWanted, bytes: Uint8Array | undefined): Promise<void> {
    if (this.#ended) return
    if (!bytes) {
      this.#sending.delete(request)
      this.#components.cancelled(request)
      return this.refuse(wanted, 'not-held')
    }
    const { requestId } = wanted
    this.#components.loans.lend(bytes)
    for (let offset = 0; offset < bytes.byteLength; offset += LIMITS.dataFrameBytes) {
      const payload = bytes.subarray(offset, offset + LIMITS.dataFrameBytes)
      await this.#sender.send([encodeDataHeader(requestId, offset, payload.byteLength), payload])
      this.#components.directory.countSent(this.peerId, payload.byteLength)
      this.#components.sent(request, payload.byteLength)
    }
    this.#sending.delete(request)
    this.#requests.delete(requestId)
    this.quieten()
    this.#components.finished(request)
  }

  private fail(error: unknown): void {
    this.end(error instanceof MeshError ? error : new MeshError('PEER_UNREACHABLE', 'sending failed', { cause: error }))
  }

  private tellNews(): void {
    this.#tellTimer = undefined
    for (const [joinId, blob] of this.#blobs) {
      const { untold } = blob
      if (!untold || (untold.pieces.length === 0 && untold.fetching.size === 0)) continue
      const fetching = untold.fetching.size > 0 ? { fetching: [...untold.fetching] } : {}
      const growth = this.untoldGrowth(blob)
      this.put(encodeHave({ joinId, pieces: untold.pieces.splice(0), ...fetching, ...(growth && { growth }) }))
      untold.fetching.clear()
    }
  }

  /** What vouches for pieces that the peer has not heard of. */
  private untoldGrowth(blob: SharedBlob): Growth | undefined {
    if (blob.toldHashes === undefined) return undefined
    const growth = this.#components.shelf.growth(blob.digest, blob.toldHashes)
    if (!growth || growth.count <= blob.toldHashes) return undefined
    blob.toldHashes = growth.count
    return growth
  }

  private giveSignOfLife(): void {
    const [joinId] = this.#blobs.keys()
    if (joinId !== undefined) this.put(encodeHave({ joinId, pieces: [] }))
  }

  /** Nothing is owed: no sign of life is needed. */
  private quieten(): void {
    if (this.#requests.size > 0) return
    clearInterval(this.#signOfLife)
    this.#signOfLife = undefined
  }

  /** Small frames: one for each that the peer sent. A peer that asks without reading fills the bounded write buffer, which ends its stream. */
  private put(frame: Uint8Array): void {
    if (isWritable(this.#stream)) this.#stream.send(frame)
  }

  private misbehaved(what: string): void {
    this.end(new MeshError('PEER_MISBEHAVED', what, { peerId: this.peerId }))
    this.#components.directory.ban(this.peerId, 'malformed', LIMITS.malformedBanMs)
  }
}

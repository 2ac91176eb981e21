import { type Digest, pieceCount, pieceLengthFor, pieceRange, type Repository } from '@layermesh/oci'
import type { Connection, Stream } from '@libp2p/interface'
import PQueue from 'p-queue'
import { MeshError } from '../errors.ts'
import { LIMITS, PROTOCOL } from '../limits.ts'
import type { MeshHost } from '../network/host.ts'
import type { PeerDirectory } from '../network/peer-directory.ts'
import {
  decodeJoin,
  decodeLeave,
  encodeHave,
  encodeJoined,
  encodeRefused,
  type Join,
  type PeerAddresses,
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
  type PieceRequest,
  type RejectReason
} from '../wire/frames.ts'
import { isWritable, send } from './send.ts'

/** A blob that this node can share: whole, or as far as it is here. */
export interface Offer {
  readonly size: number
  /** Packed bits of the pieces that are here; undefined when all are. */
  readonly held?: Uint8Array
  readonly pieceMap?: Uint8Array
}

/** What the serving side needs of the store. */
export interface Shelf {
  /** What is here of a blob; with `within`, only if the repository is known to have it. */
  offer(digest: Digest, within: Repository | undefined): Promise<Offer | undefined>
  /** The verified bytes of a piece; undefined when it is not here. */
  read(digest: Digest, range: { start: number; end: number }): Promise<Uint8Array | undefined>
}

/** Peers that lately asked for a blob; they are told of each other. */
export interface Interest {
  asked(digest: Digest, peerId: string): void
  peers(digest: Digest, except: string): Promise<PeerAddresses[]>
}

export interface ServingComponents {
  readonly host: MeshHost
  readonly directory: PeerDirectory
  readonly shelf: Shelf
  readonly interest: Interest
}

/** The giving side of the blob protocol: answers joins, tells of new pieces, sends what is asked, in the order asked. */
export class Serving {
  readonly #components: ServingComponents
  readonly #uploads = new PQueue({ concurrency: LIMITS.concurrentUploads })
  readonly #sessions = new Set<ServingSession>()
  #stopping = false

  constructor(components: ServingComponents) {
    this.#components = components
  }

  async start(): Promise<void> {
    await this.#components.host.handle(PROTOCOL.blob, (stream, connection) => this.accept(stream, connection), {
      maxInboundStreams: LIMITS.inboundStreamsPerPeer
    })
  }

  /** Tells those who joined this blob that a piece of it is here now. */
  pieceKept(digest: Digest, piece: number): void {
    for (const session of this.#sessions) session.pieceKept(digest, piece)
  }

  async stop(): Promise<void> {
    this.#stopping = true
    for (const session of this.#sessions) session.end(new MeshError('PEER_UNREACHABLE', 'shutting down'))
    this.#uploads.clear()
    await this.#uploads.onIdle()
  }

  private accept(stream: Stream, connection: Connection): void {
    if (this.#stopping) return stream.abort(new MeshError('PEER_UNREACHABLE', 'shutting down'))
    const session = new ServingSession(connection.remotePeer.toString(), stream, this.#components, this.#uploads)
    this.#sessions.add(session)
    stream.addEventListener('close', () => this.#sessions.delete(session))
  }
}

interface SharedBlob {
  readonly digest: Digest
  readonly size: number
  readonly pieceLength: number
  /** Pieces that came since the last HAVE; undefined when the peer was told that all are here. */
  readonly fresh: number[] | undefined
}

const HAVE_EVERY_MS = 50
/** A peer whose requests wait for their turn hears from this node so often, and knows that it is not dead. */
const SIGN_OF_LIFE_EVERY_MS = 1_000
const MAX_FRESH_PIECES = 4_096

/** One stream of one peer. */
class ServingSession {
  readonly #peerId: string
  readonly #stream: Stream
  readonly #components: ServingComponents
  readonly #uploads: PQueue
  readonly #reader = new FrameReader()
  readonly #blobs = new Map<number, SharedBlob>()
  readonly #requests: PieceRequest[] = []
  readonly #ended = new AbortController()
  /** Joins that are being looked up; a piece that comes meanwhile is noted here, or nobody would tell of it. */
  readonly #joining = new Map<number, { digest: Digest; fresh: number[] }>()
  #sending = false
  #haveTimer: NodeJS.Timeout | undefined
  #signOfLife: NodeJS.Timeout | undefined

  constructor(peerId: string, stream: Stream, components: ServingComponents, uploads: PQueue) {
    this.#peerId = peerId
    this.#stream = stream
    this.#components = components
    this.#uploads = uploads
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

  pieceKept(digest: Digest, piece: number): void {
    for (const blob of [...this.#blobs.values(), ...this.#joining.values()]) {
      if (blob.digest !== digest || blob.fresh === undefined || blob.fresh.length >= MAX_FRESH_PIECES) continue
      blob.fresh.push(piece)
      this.#haveTimer ??= setTimeout(() => this.tellFreshPieces(), HAVE_EVERY_MS)
    }
  }

  end(error: MeshError): void {
    if (this.#ended.signal.aborted) return
    this.#ended.abort(error)
    clearTimeout(this.#haveTimer)
    clearInterval(this.#signOfLife)
    this.#requests.length = 0
    this.#blobs.clear()
    if (this.#stream.status === 'open' || this.#stream.status === 'closing') this.#stream.abort(error)
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
      case FRAME.cancel: {
        const requestId = decodeCancel(body)
        const index = this.#requests.findIndex((request) => request.requestId === requestId)
        // What is being sent already is sent to its end; the asker takes it off the stream.
        if (index < 0) return
        this.#requests.splice(index, 1)
        return this.reject(requestId, 'cancelled')
      }
      default:
        throw malformed(`frame type ${type} on the giving side`)
    }
  }

  private join(join: Join): void {
    if (this.#blobs.has(join.joinId) || this.#joining.has(join.joinId)) throw malformed('a join id used twice')
    if (this.#blobs.size + this.#joining.size >= LIMITS.joinsPerStream) {
      this.write(encodeRefused({ joinId: join.joinId, reason: 'busy', peers: [] }))
      return
    }
    const fresh: number[] = []
    this.#joining.set(join.joinId, { digest: join.digest, fresh })
    this.answerJoin(join, fresh)
      .catch(() => this.write(encodeRefused({ joinId: join.joinId, reason: 'unknown', peers: [] })))
      .finally(() => this.#joining.delete(join.joinId))
  }

  private async answerJoin({ joinId, digest, within }: Join, fresh: number[]): Promise<void> {
    const { shelf, interest } = this.#components
    const [offer, peers] = await Promise.all([shelf.offer(digest, within), interest.peers(digest, this.#peerId)])
    if (this.#ended.signal.aborted) return
    // Whoever may not be told of the blob is not told who asks for it either.
    if (within === undefined || offer) interest.asked(digest, this.#peerId)
    if (!offer) {
      const refusal: Refused = { joinId, reason: 'unknown', peers: within === undefined ? peers : [] }
      return this.write(encodeRefused(refusal))
    }
    this.#blobs.set(joinId, {
      digest,
      size: offer.size,
      pieceLength: pieceLengthFor(offer.size),
      fresh: offer.held === undefined ? undefined : fresh
    })
    this.write(encodeJoined({ joinId, peers, ...offer }))
  }

  private request(request: PieceRequest): void {
    const blob = this.#blobs.get(request.joinId)
    if (!blob || request.piece >= pieceCount(blob.size, blob.pieceLength))
      return this.reject(request.requestId, 'not-held')
    if (this.#requests.length >= LIMITS.requestsPerStream) return this.reject(request.requestId, 'busy')
    this.#requests.push(request)
    this.#signOfLife ??= setInterval(() => this.giveSignOfLife(), SIGN_OF_LIFE_EVERY_MS)
    void this.sendPieces()
  }

  /** Sends what is asked, one piece at a time, as the peer takes it. */
  private async sendPieces(): Promise<void> {
    if (this.#sending) return
    this.#sending = true
    try {
      while (this.#requests.length > 0) {
        await this.#uploads.add(async () => {
          const request = this.#requests.shift()
          if (request) await this.sendPiece(request)
        })
      }
    } catch (error) {
      this.end(
        error instanceof MeshError ? error : new MeshError('PEER_UNREACHABLE', 'sending failed', { cause: error })
      )
    } finally {
      this.#sending = false
      clearInterval(this.#signOfLife)
      this.#signOfLife = undefined
    }
  }

  private async sendPiece({ requestId, joinId, piece }: PieceRequest): Promise<void> {
    const blob = this.#blobs.get(joinId)
    const range = blob && pieceRange(piece, blob.size, blob.pieceLength)
    const bytes = blob && range && (await this.#components.shelf.read(blob.digest, range).catch(() => undefined))
    if (this.#ended.signal.aborted) return
    if (!bytes) return this.reject(requestId, 'not-held')
    for (let offset = 0; offset < bytes.byteLength; offset += LIMITS.dataFrameBytes) {
      const payload = bytes.subarray(offset, offset + LIMITS.dataFrameBytes)
      await send(this.#stream, [encodeDataHeader(requestId, offset, payload.byteLength), payload], this.#ended.signal)
      this.#components.directory.countSent(this.#peerId, payload.byteLength)
    }
  }

  private tellFreshPieces(): void {
    this.#haveTimer = undefined
    for (const [joinId, blob] of this.#blobs) {
      if (blob.fresh && blob.fresh.length > 0) this.write(encodeHave(joinId, blob.fresh.splice(0)))
    }
  }

  private giveSignOfLife(): void {
    const [request] = this.#requests
    if (request) this.write(encodeHave(request.joinId, []))
  }

  private reject(requestId: number, reason: RejectReason): void {
    this.write(encodeReject(requestId, reason))
  }

  /** Small frames: one for each that the peer sent. A peer that asks without reading fills the bounded write buffer, which ends its stream. */
  private write(frame: Uint8Array): void {
    if (isWritable(this.#stream)) this.#stream.send(frame)
  }

  private misbehaved(what: string): void {
    this.end(new MeshError('PEER_MISBEHAVED', what, { peerId: this.#peerId }))
    this.#components.directory.ban(this.#peerId, 'malformed', LIMITS.malformedBanMs)
  }
}

import type { Digest, Repository } from '@layermesh/oci'
import type { Stream } from '@libp2p/interface'
import type { BufferPool } from '../buffer-pool.ts'
import { MeshError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import {
  decodeHave,
  decodeJoined,
  decodeRefused,
  encodeJoin,
  encodeLeave,
  type GrowthMessage,
  type Joined,
  type Refused
} from '../wire/blob-messages.ts'
import { malformed } from '../wire/fields.ts'
import {
  decodeReject,
  encodeCancel,
  encodeRequest,
  FRAME,
  type Frame,
  FrameReader,
  type RejectReason
} from '../wire/frames.ts'
import { isWritable } from './stream-sender.ts'

/**
 * `malformed`: the peer broke the protocol. `left-early`: it ended the stream while it owed pieces, as a liar does and
 * also a peer that closes down.
 */
export type ChannelFault = 'malformed' | 'left-early' | 'none'

/** What a channel tells the one who asks through it. */
export interface ChannelListener {
  /** Something came: so many bytes of pieces, or none but a sign of life. */
  progress(payloadBytes: number): void
  /** The peer has these pieces now; `growth` vouches for those that it has not told of before. */
  have(digest: Digest, pieces: readonly number[], growth?: GrowthMessage): void
  /** The peer brings these pieces in at this moment. */
  fetching(digest: Digest, pieces: readonly number[]): void
  /** All bytes of a piece came; they are not verified yet. Who takes them gives them back to the pool when done. */
  piece(digest: Digest, piece: number, bytes: Buffer): void
  rejected(digest: Digest, piece: number, reason: RejectReason): void
  /** The channel ended; `fault` tells what the peer is to blame for. */
  closed(error: MeshError, fault: ChannelFault): void
}

interface PendingJoin {
  readonly digest: Digest
  /** Only the answer is wanted, not the blob. */
  readonly probe: boolean
  resolve(answer: Joined | Refused): void
  reject(error: MeshError): void
}

interface PendingPiece {
  readonly digest: Digest
  readonly piece: number
  readonly bytes: Buffer
  received: number
  /** No longer wanted, but what is on its way still has to be taken off the stream. */
  cancelled: boolean
}

/**
 * The asking side of the blob protocol with one peer: joins blobs, asks for pieces, puts their bytes together. All
 * that is outstanding was asked for, so the stream never carries more than this side has room for.
 */
export class Channel {
  readonly peerId: string
  readonly #stream: Stream
  readonly #listener: ChannelListener
  readonly #buffers: BufferPool
  readonly #reader = new FrameReader((requestId, offset, length) => this.placeFor(requestId, offset, length))
  readonly #joins = new Map<number, PendingJoin>()
  readonly #digests = new Map<number, Digest>()
  readonly #joined = new Map<Digest, number>()
  readonly #pieces = new Map<number, PendingPiece>()
  #nextId = 1
  #closed: MeshError | undefined

  constructor(peerId: string, stream: Stream, buffers: BufferPool, listener: ChannelListener) {
    this.peerId = peerId
    this.#stream = stream
    this.#listener = listener
    this.#buffers = buffers
    stream.addEventListener('message', ({ data }) => {
      try {
        let payloadBytes = 0
        for (const frame of this.#reader.push(data)) {
          if (frame.type === FRAME.data) payloadBytes += frame.body.byteLength
          this.take(frame)
        }
        listener.progress(payloadBytes)
      } catch (error) {
        this.end(error instanceof MeshError ? error : malformed('unreadable frame', error), 'malformed')
      }
    })
    stream.addEventListener('remoteCloseWrite', () => {
      const fault = this.#pieces.size > 0 ? 'left-early' : 'none'
      this.end(new MeshError('PEER_UNREACHABLE', 'the peer ended the stream', { peerId }), fault)
    })
    stream.addEventListener('close', () =>
      this.end(new MeshError('PEER_UNREACHABLE', 'the stream ended', { peerId }), 'none')
    )
  }

  get open(): boolean {
    return this.#closed === undefined && isWritable(this.#stream)
  }

  hasJoined(digest: Digest): boolean {
    return this.#joined.has(digest)
  }

  /** Joins those who share a blob. @throws {MeshError} PEER_UNREACHABLE, DEADLINE */
  join(digest: Digest, signal: AbortSignal): Promise<Joined | Refused> {
    return this.ask(digest, undefined, false, signal)
  }

  /** Asks whether the peer has a blob in a repository, without joining. @throws {MeshError} PEER_UNREACHABLE, DEADLINE */
  async probe(digest: Digest, within: Repository, signal: AbortSignal): Promise<boolean> {
    return 'size' in (await this.ask(digest, within, true, signal))
  }

  /** Asks for one piece of a joined blob; the listener hears of it. */
  request(digest: Digest, piece: number, bytes: number): void {
    const joinId = this.#joined.get(digest)
    if (joinId === undefined || !this.open) {
      queueMicrotask(() => this.#listener.rejected(digest, piece, 'not-held'))
      return
    }
    const requestId = this.#nextId++
    this.#pieces.set(requestId, { digest, piece, bytes: this.#buffers.take(bytes), received: 0, cancelled: false })
    this.send(encodeRequest({ requestId, joinId, piece }))
  }

  cancel(digest: Digest, piece: number): void {
    for (const [requestId, pending] of this.#pieces) {
      if (pending.digest !== digest || pending.piece !== piece || pending.cancelled) continue
      pending.cancelled = true
      this.send(encodeCancel(requestId))
    }
  }

  /** Is no longer interested in a blob. */
  leave(digest: Digest): void {
    const joinId = this.#joined.get(digest)
    if (joinId === undefined) return
    this.#joined.delete(digest)
    this.#digests.delete(joinId)
    this.send(encodeLeave(joinId))
  }

  close(): void {
    this.end(new MeshError('PEER_UNREACHABLE', 'closed here', { peerId: this.peerId }), 'none')
  }

  private async ask(
    digest: Digest,
    within: Repository | undefined,
    probe: boolean,
    signal: AbortSignal
  ): Promise<Joined | Refused> {
    const joinId = this.#nextId++
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(LIMITS.joinDeadlineMs)])
    return await new Promise<Joined | Refused>((resolve, reject) => {
      const giveUp = () => {
        this.#joins.delete(joinId)
        reject(new MeshError('DEADLINE', 'no answer to a join', { peerId: this.peerId }))
      }
      if (this.#closed) return reject(this.#closed)
      if (deadline.aborted) return giveUp()
      deadline.addEventListener('abort', giveUp, { once: true })
      const settle =
        <T>(then: (value: T) => void) =>
        (value: T) => {
          deadline.removeEventListener('abort', giveUp)
          then(value)
        }
      this.#joins.set(joinId, { digest, probe, resolve: settle(resolve), reject: settle(reject) })
      this.send(encodeJoin({ joinId, digest, ...(within === undefined ? {} : { within }) }))
    })
  }

  private take({ type, body, requestId }: Frame): void {
    switch (type) {
      case FRAME.joined:
        return this.answered(decodeJoined(body), true)
      case FRAME.refused:
        return this.answered(decodeRefused(body), false)
      case FRAME.have: {
        const { joinId, pieces, fetching, growth } = decodeHave(body)
        const digest = this.#digests.get(joinId)
        if (digest === undefined) return
        if (fetching !== undefined) this.#listener.fetching(digest, fetching)
        this.#listener.have(digest, pieces, growth)
        return
      }
      case FRAME.data:
        return this.takeData(requestId, body.byteLength)
      case FRAME.reject: {
        const refusal = decodeReject(body)
        const pending = this.#pieces.get(refusal.requestId)
        if (!pending) throw malformed('a refusal of what was not asked')
        this.#pieces.delete(refusal.requestId)
        this.#buffers.give(pending.bytes)
        if (!pending.cancelled) this.#listener.rejected(pending.digest, pending.piece, refusal.reason)
        return
      }
      default:
        throw malformed(`frame type ${type} on the asking side`)
    }
  }

  private answered(answer: Joined | Refused, joined: boolean): void {
    const pending = this.#joins.get(answer.joinId)
    // An answer that came after its deadline: the peer would go on telling what it has.
    if (!pending) {
      if (joined && !this.#digests.has(answer.joinId)) this.send(encodeLeave(answer.joinId))
      return
    }
    this.#joins.delete(answer.joinId)
    if (joined && pending.probe) this.send(encodeLeave(answer.joinId))
    else if (joined) {
      this.#joined.set(pending.digest, answer.joinId)
      this.#digests.set(answer.joinId, pending.digest)
    }
    pending.resolve(answer)
  }

  /** Where payload goes: right behind what came of its piece before, and nowhere else. */
  private placeFor(requestId: number, offset: number, length: number): Uint8Array {
    const pending = this.#pieces.get(requestId)
    if (!pending) throw malformed('payload that was not asked')
    if (offset !== pending.received || offset + length > pending.bytes.byteLength) {
      throw malformed(`payload at ${offset} where ${pending.received} of ${pending.bytes.byteLength} bytes are here`)
    }
    return pending.bytes.subarray(offset, offset + length)
  }

  private takeData(requestId: number, length: number): void {
    const pending = this.#pieces.get(requestId)
    if (!pending) return
    pending.received += length
    if (pending.received < pending.bytes.byteLength) return
    this.#pieces.delete(requestId)
    if (pending.cancelled) this.#buffers.give(pending.bytes)
    else this.#listener.piece(pending.digest, pending.piece, pending.bytes)
  }

  private send(frame: Uint8Array): void {
    if (!this.open) return
    // Small frames, as many as pieces are outstanding: the stream's write buffer holds them all.
    this.#stream.send(frame)
  }

  private end(error: MeshError, fault: ChannelFault): void {
    if (this.#closed) return
    this.#closed = error
    for (const join of this.#joins.values()) join.reject(error)
    this.#joins.clear()
    this.#pieces.clear()
    if (this.#stream.status === 'open') this.#stream.abort(error)
    this.#listener.closed(error, fault)
  }
}

/**
 * Frames of the blob protocol (PROTOCOL.md §Blob). A frame is
 *
 *     length  u32 big-endian, of what follows
 *     type    u8
 *     body
 *
 * Control frames carry CBOR; REQUEST, CANCEL, DATA and REJECT have fixed fields, so that payload passes without encoding.
 */
import type { Uint8ArrayList } from 'uint8arraylist'
import { LIMITS } from '../limits.ts'
import { malformed } from './fields.ts'

export const FRAME = Object.freeze({
  join: 1,
  joined: 2,
  refused: 3,
  have: 4,
  leave: 5,
  request: 6,
  cancel: 7,
  data: 8,
  reject: 9
})

export interface Frame {
  readonly type: number
  /** The body; it is the reader's own and stays valid. Of a DATA frame, the payload, where its sink wanted it. */
  readonly body: Uint8Array
  /** Of a DATA frame: the request that it answers. */
  readonly requestId: number
}

/**
 * Where the payload of a DATA frame belongs, so that it is written to its place without a copy in between. Throws when
 * it belongs nowhere.
 */
export type PayloadSink = (requestId: number, offset: number, length: number) => Uint8Array

const HEADER_BYTES = 5
const DATA_FIELDS_BYTES = 8
const MAX_DATA_BODY_BYTES = LIMITS.dataFrameBytes + DATA_FIELDS_BYTES

/** Cuts a byte stream into frames. A length past the bound is refused before anything is kept for it. */
export class FrameReader {
  readonly #sink: PayloadSink
  /** The frame's header and, of a DATA frame, the fields behind it. */
  readonly #head = Buffer.alloc(HEADER_BYTES + DATA_FIELDS_BYTES)
  #headFilled = 0
  #body: Uint8Array | undefined
  #bodyFilled = 0

  /** @param sink where payload goes; without one, DATA frames are refused */
  constructor(sink: PayloadSink = refusePayload) {
    this.#sink = sink
  }

  /** @throws {MeshError} PEER_MISBEHAVED on a frame that is too long or of no known type */
  *push(chunk: Uint8Array | Uint8ArrayList): Generator<Frame> {
    for (const part of chunk instanceof Uint8Array ? [chunk] : chunk) yield* this.take(part)
  }

  private *take(part: Uint8Array): Generator<Frame> {
    let offset = 0
    while (offset < part.byteLength) {
      if (this.#body === undefined) {
        offset += this.fillHead(part.subarray(offset))
        if (this.#headFilled >= HEADER_BYTES) bodyLength(this.#head)
        if (this.#headFilled < this.headLength()) return
        this.#body = this.openBody()
        this.#bodyFilled = 0
      }
      const taken = part.subarray(offset, offset + this.#body.byteLength - this.#bodyFilled)
      this.#body.set(taken, this.#bodyFilled)
      this.#bodyFilled += taken.byteLength
      offset += taken.byteLength
      if (this.#bodyFilled < this.#body.byteLength) return
      const frame = {
        type: this.#head.readUInt8(4),
        body: this.#body,
        requestId: this.#head.readUInt32BE(HEADER_BYTES)
      }
      this.#body = undefined
      this.#headFilled = 0
      yield frame
    }
  }

  private fillHead(part: Uint8Array): number {
    let taken = 0
    while (taken < part.byteLength && this.#headFilled < this.headLength()) {
      const missing = part.subarray(taken, taken + this.headLength() - this.#headFilled)
      this.#head.set(missing, this.#headFilled)
      this.#headFilled += missing.byteLength
      taken += missing.byteLength
    }
    return taken
  }

  private headLength(): number {
    const isData = this.#headFilled >= HEADER_BYTES && this.#head.readUInt8(4) === FRAME.data
    return isData ? HEADER_BYTES + DATA_FIELDS_BYTES : HEADER_BYTES
  }

  /** Checks the head and makes room for what follows it. */
  private openBody(): Uint8Array {
    const length = bodyLength(this.#head)
    if (this.#head.readUInt8(4) !== FRAME.data) return Buffer.allocUnsafe(length)
    const payloadLength = length - DATA_FIELDS_BYTES
    return this.#sink(this.#head.readUInt32BE(HEADER_BYTES), this.#head.readUInt32BE(HEADER_BYTES + 4), payloadLength)
  }
}

function refusePayload(): never {
  throw malformed('payload on the giving side')
}

/** Checks a frame's header and tells how long its body is. */
function bodyLength(header: Buffer): number {
  const length = header.readUInt32BE(0) - 1
  const type = header.readUInt8(4)
  if (type < FRAME.join || type > FRAME.reject) throw malformed(`frame type ${type}`)
  const [least, most] =
    type === FRAME.data ? [DATA_FIELDS_BYTES + 1, MAX_DATA_BODY_BYTES] : [1, LIMITS.controlFrameBytes]
  if (length < least || length > most) throw malformed(`frame of ${length} bytes, type ${type}`)
  return length
}

/** A control frame around an encoded message. */
export function controlFrame(type: number, message: Uint8Array): Uint8Array {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + message.byteLength)
  frame.writeUInt32BE(1 + message.byteLength, 0)
  frame.writeUInt8(type, 4)
  frame.set(message, HEADER_BYTES)
  return frame
}

/** A frame of fixed 32-bit fields. */
function fixedFrame(type: number, fields: readonly number[]): Uint8Array {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + fields.length * 4)
  frame.writeUInt32BE(1 + fields.length * 4, 0)
  frame.writeUInt8(type, 4)
  fields.forEach((field, index) => {
    frame.writeUInt32BE(field, HEADER_BYTES + index * 4)
  })
  return frame
}

function readFixed(body: Uint8Array, count: number): number[] {
  if (body.byteLength !== count * 4) throw malformed(`${body.byteLength} bytes where ${count * 4} belong`)
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength)
  return Array.from({ length: count }, (_, index) => view.getUint32(index * 4))
}

export interface PieceRequest {
  /** Chosen by the asker, unique on the stream. */
  readonly requestId: number
  /** The join that names the blob. */
  readonly joinId: number
  readonly piece: number
}

export function encodeRequest({ requestId, joinId, piece }: PieceRequest): Uint8Array {
  return fixedFrame(FRAME.request, [requestId, joinId, piece])
}

export function decodeRequest(body: Uint8Array): PieceRequest {
  const [requestId = 0, joinId = 0, piece = 0] = readFixed(body, 3)
  return { requestId, joinId, piece }
}

export function encodeCancel(requestId: number): Uint8Array {
  return fixedFrame(FRAME.cancel, [requestId])
}

export function decodeCancel(body: Uint8Array): number {
  return readFixed(body, 1)[0] ?? 0
}

/** Why a piece is not sent. */
export const REJECT_REASONS = ['busy', 'not-held', 'cancelled', 'shutting-down', 'given'] as const
export type RejectReason = (typeof REJECT_REASONS)[number]

export function encodeReject(requestId: number, reason: RejectReason): Uint8Array {
  return fixedFrame(FRAME.reject, [requestId, REJECT_REASONS.indexOf(reason)])
}

export function decodeReject(body: Uint8Array): { requestId: number; reason: RejectReason } {
  const [requestId = 0, index = 0] = readFixed(body, 2)
  const reason = REJECT_REASONS[index]
  if (reason === undefined) throw malformed(`reason ${index} of a refusal`)
  return { requestId, reason }
}

/** The fixed part of a DATA frame; the payload is sent right behind it, uncopied. */
export function encodeDataHeader(requestId: number, offset: number, payloadBytes: number): Uint8Array {
  const header = Buffer.allocUnsafe(HEADER_BYTES + DATA_FIELDS_BYTES)
  header.writeUInt32BE(1 + DATA_FIELDS_BYTES + payloadBytes, 0)
  header.writeUInt8(FRAME.data, 4)
  header.writeUInt32BE(requestId, HEADER_BYTES)
  header.writeUInt32BE(offset, HEADER_BYTES + 4)
  return header
}

import fc from 'fast-check'
import { Uint8ArrayList } from 'uint8arraylist'
import { describe, expect, it } from 'vitest'
import { LIMITS } from '../limits.ts'
import {
  controlFrame,
  decodeCancel,
  decodeReject,
  decodeRequest,
  encodeCancel,
  encodeDataHeader,
  encodeReject,
  encodeRequest,
  FRAME,
  type Frame,
  FrameReader
} from './frames.ts'

function read(...chunks: Uint8Array[]): Frame[] {
  const reader = new FrameReader((_requestId, _offset, length) => Buffer.alloc(length))
  return chunks.flatMap((chunk) => [...reader.push(chunk)])
}

describe('frames', () => {
  it('come out as they went in, however the stream cuts them', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { minLength: 1, maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
        (messages, cuts) => {
          const stream = Buffer.concat(messages.map((message) => controlFrame(FRAME.join, message)))
          const chunks: Uint8Array[] = []
          for (let offset = 0, turn = 0; offset < stream.byteLength; turn++) {
            const length = cuts[turn % cuts.length] ?? 1
            chunks.push(stream.subarray(offset, offset + length))
            offset += length
          }
          expect(read(...chunks).map(({ body }) => Buffer.from(body))).toEqual(
            messages.map((message) => Buffer.from(message))
          )
        }
      )
    )
  })

  it('are read from lists of chunks', () => {
    const frame = controlFrame(FRAME.leave, Buffer.from('body'))
    const list = new Uint8ArrayList(frame.subarray(0, 3), frame.subarray(3))
    expect([...new FrameReader().push(list)].map(({ body }) => body.toString())).toEqual(['body'])
  })

  it('keep the bytes of this version of the protocol', () => {
    expect(Buffer.from(encodeRequest({ requestId: 1, joinId: 2, piece: 3 })).toString('hex')).toBe(
      '0000000d06000000010000000200000003'
    )
    expect(Buffer.from(encodeCancel(7)).toString('hex')).toBe('000000050700000007')
    expect(Buffer.from(encodeReject(7, 'not-held')).toString('hex')).toBe('00000009090000000700000001')
    expect(Buffer.from(encodeDataHeader(9, 262_144, 4)).toString('hex')).toBe('0000000d080000000900040000')
  })

  it('are refused before memory is kept for them when they claim too much', () => {
    for (const [length, type] of [
      [0xffffffff, FRAME.data],
      [LIMITS.dataFrameBytes + 10, FRAME.data],
      [LIMITS.controlFrameBytes + 2, FRAME.joined],
      [1, FRAME.join],
      [0, FRAME.join],
      [5, 0],
      [5, 200]
    ] as const) {
      const header = Buffer.alloc(5)
      header.writeUInt32BE(length, 0)
      header.writeUInt8(type, 4)
      expect(() => read(header), `${length} of type ${type}`).toThrow(
        expect.objectContaining({ code: 'PEER_MISBEHAVED' })
      )
    }
  })

  it('carry requests, refusals and payload', () => {
    const [request, cancel, reject, data] = read(
      encodeRequest({ requestId: 5, joinId: 6, piece: 4095 }),
      encodeCancel(5),
      encodeReject(5, 'busy'),
      encodeDataHeader(5, 1024, 3),
      Buffer.from('abc')
    )
    expect(decodeRequest(request?.body ?? Buffer.alloc(0))).toEqual({ requestId: 5, joinId: 6, piece: 4095 })
    expect(decodeCancel(cancel?.body ?? Buffer.alloc(0))).toBe(5)
    expect(decodeReject(reject?.body ?? Buffer.alloc(0))).toEqual({ requestId: 5, reason: 'busy' })
    expect({ requestId: data?.requestId, payload: Buffer.from(data?.body ?? []).toString() }).toEqual({
      requestId: 5,
      payload: 'abc'
    })
  })

  it('write payload where it belongs, however the stream cuts it', () => {
    const piece = Buffer.alloc(8)
    const reader = new FrameReader((requestId, offset, length) => {
      expect(requestId).toBe(5)
      return piece.subarray(offset, offset + length)
    })
    const stream = Buffer.concat([
      encodeDataHeader(5, 4, 4),
      Buffer.from('efgh'),
      encodeDataHeader(5, 0, 4),
      Buffer.from('abcd')
    ])
    const seen = [...stream].flatMap((byte) => [...reader.push(Buffer.from([byte]))])
    expect([seen.length, piece.toString()]).toEqual([2, 'abcdefgh'])
  })

  it('with payload are refused where none was asked for', () => {
    const reader = new FrameReader()
    expect(() => [...reader.push(encodeDataHeader(5, 0, 4))].concat([...reader.push(Buffer.from('abcd'))])).toThrow(
      expect.objectContaining({ code: 'PEER_MISBEHAVED' })
    )
  })

  it('of random bytes throw nothing but a breach of the protocol', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          for (const { body } of read(bytes))
            for (const decode of [decodeRequest, decodeReject, decodeCancel]) decode(body)
        } catch (error) {
          expect(error).toMatchObject({ code: 'PEER_MISBEHAVED' })
        }
      })
    )
  })
})

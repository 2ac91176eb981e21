import { digestOf, parseRepository } from '@layermesh/oci'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  decodeHave,
  decodeJoin,
  decodeJoined,
  decodeLeave,
  decodeRefused,
  encodeHave,
  encodeJoin,
  encodeJoined,
  encodeLeave,
  encodeRefused
} from './blob-messages.ts'
import { encodeFields } from './fields.ts'

const HEADER_BYTES = 5
const body = (frame: Uint8Array) => frame.subarray(HEADER_BYTES)
const digest = digestOf(Buffer.from('blob'))
const peers = [
  { peerId: '12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf', addresses: ['/ip4/10.0.0.1/tcp/5002'] }
]

describe('messages of the blob protocol', () => {
  it('come back as they went', () => {
    const join = { joinId: 1, digest, within: parseRepository('team/app') }
    expect(decodeJoin(body(encodeJoin(join)))).toEqual(join)
    expect(decodeJoin(body(encodeJoin({ joinId: 2, digest })))).toEqual({ joinId: 2, digest })
    const joined = {
      joinId: 1,
      size: 5_000_000,
      held: new Uint8Array([0b10100000]),
      pieceMap: new Uint8Array([1, 2]),
      fetching: [1],
      peers
    }
    expect(decodeJoined(body(encodeJoined(joined)))).toEqual(joined)
    const refused = { joinId: 1, reason: 'unknown' as const, peers }
    expect(decodeRefused(body(encodeRefused(refused)))).toEqual(refused)
    for (const have of [
      { joinId: 1, pieces: [0, 4095] },
      { joinId: 1, pieces: [], fetching: [7] }
    ]) {
      expect(decodeHave(body(encodeHave(have)))).toEqual(have)
    }
    expect(decodeLeave(body(encodeLeave(9)))).toBe(9)
  })

  it('may carry fields of later versions', () => {
    expect(decodeLeave(encodeFields({ id: 3, later: 'unknown here' }))).toBe(3)
  })

  it.each([
    ['a digest that is a path', encodeFields({ id: 1, digest: 'sha256:../../etc/passwd' }), decodeJoin],
    ['a repository that is none', encodeFields({ id: 1, digest, within: '../x' }), decodeJoin],
    ['a negative size', encodeFields({ id: 1, size: -1, peers: [] }), decodeJoined],
    ['a size that is no number', encodeFields({ id: 1, size: '12', peers: [] }), decodeJoined],
    ['too many peers', encodeFields({ id: 1, size: 1, peers: Array(11).fill(['p', []]) }), decodeJoined],
    [
      'too many addresses',
      encodeFields({ id: 1, size: 1, peers: [['p', Array(9).fill('/ip4/1.1.1.1')]] }),
      decodeJoined
    ],
    ['a peer id that is none', encodeFields({ id: 1, size: 1, peers: [['not a peer id', []]] }), decodeJoined],
    ['an unknown reason', encodeFields({ id: 1, reason: 'because', peers: [] }), decodeRefused],
    ['a piece number below zero', encodeFields({ id: 1, pieces: [-1] }), decodeHave],
    ['a list', Buffer.from([0x80]), decodeLeave],
    ['nothing', new Uint8Array(), decodeLeave],
    ['a key given twice', Buffer.from('a2626964016269640', 'hex'), decodeLeave]
  ])('are refused with %s', (_what, bytes, decode: (bytes: Uint8Array) => unknown) => {
    expect(() => decode(bytes)).toThrow(expect.objectContaining({ code: 'PEER_MISBEHAVED' }))
  })

  it('of random bytes throw nothing but a breach of the protocol', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        for (const decode of [decodeJoin, decodeJoined, decodeRefused, decodeHave, decodeLeave]) {
          try {
            decode(bytes)
          } catch (error) {
            expect(error).toMatchObject({ code: 'PEER_MISBEHAVED' })
          }
        }
      })
    )
  })
})

import { MeshError } from '@layermesh/mesh'
import { digestOf, isOciError, ownRepository, type Tag } from '@layermesh/oci'
import { encode } from 'cborg'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  decodeLeaseAnswer,
  decodeLeaseRequest,
  encodeLeaseAnswer,
  encodeLeaseRequest
} from '../../packages/mesh/src/leases/messages.ts'
import { decodeHeads, decodeNotice, decodeNoticeRequest } from '../../packages/mesh/src/notices/messages.ts'
import {
  decodeMembers,
  decodePrefetchMessage,
  decodeReport,
  encodeMembers,
  encodePrefetchMessage,
  encodeReport
} from '../../packages/mesh/src/prefetch/messages.ts'
import {
  decodeDeleteAnswer,
  decodeListAnswer,
  decodePushAnswer,
  decodeReferrersAnswer,
  decodeTagAnswer,
  decodeTagRequest,
  decodeTokenAnswer,
  encodeTagRequest
} from '../../packages/mesh/src/tags/messages.ts'
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
} from '../../packages/mesh/src/wire/blob-messages.ts'
import {
  decodeCancel,
  decodeReject,
  decodeRequest,
  encodeDataHeader,
  encodeRequest,
  FrameReader
} from '../../packages/mesh/src/wire/frames.ts'
import { FUZZ, hostileBytes, PARAMETERS } from './support/fuzzing.ts'

const DIGEST = digestOf(Buffer.from('x'))
const REPOSITORY = ownRepository('team/app')
const PEER = { peerId: '12D3KooWNjss942JAMtH87RWjf4CT5fzuWkf8WEuDNAyUmzksfTy', addresses: ['/ip4/127.0.0.1/tcp/1'] }
const FRAME_HEAD_BYTES = 5
const MAX_HELD_BYTES = 16 * 1024 * 1024

const isMisbehaviour = (error: unknown) => error instanceof MeshError && error.code === 'PEER_MISBEHAVED'
/** What a control frame carries. */
const body = (frame: Uint8Array) => Buffer.from(frame.subarray(FRAME_HEAD_BYTES))

const REQUEST = Buffer.from(encodeTagRequest({ op: 'resolve', repository: REPOSITORY, tag: '1' as Tag }))
const LIST = Buffer.from(encode({ names: ['a', 'b'], authoritative: true }))
const HEADS = Buffer.from(encode({ op: 'changed', notices: [['roster', PEER.peerId, 3]] }))

const GROWTH = { envelope: Buffer.alloc(40), hashes: Buffer.alloc(64) }

/** Each decoder of bytes that peers send, with what it reads when nobody is hostile. */
const DECODERS: Record<string, [decode: (bytes: Buffer) => unknown, sample: Buffer]> = {
  JOIN: [decodeJoin, body(encodeJoin({ joinId: 1, digest: DIGEST, within: REPOSITORY }))],
  JOINED: [
    decodeJoined,
    body(encodeJoined({ joinId: 1, size: 5, held: Buffer.from([255]), fetching: [1], peers: [PEER] }))
  ],
  REFUSED: [decodeRefused, body(encodeRefused({ joinId: 1, reason: 'busy', peers: [PEER] }))],
  HAVE: [decodeHave, body(encodeHave({ joinId: 1, pieces: [1, 2], fetching: [3] }))],
  LEAVE: [decodeLeave, body(encodeLeave(7))],
  REQUEST: [decodeRequest, body(encodeRequest({ requestId: 1, joinId: 2, piece: 3 }))],
  CANCEL: [decodeCancel, Buffer.alloc(4, 1)],
  REJECT: [decodeReject, Buffer.alloc(8)],
  'a request about tags': [decodeTagRequest, REQUEST],
  'a record': [
    decodeTagAnswer,
    Buffer.from(encode({ envelope: Buffer.alloc(9), confirmedAt: 5, authoritative: true }))
  ],
  'a list': [decodeListAnswer, LIST],
  referrers: [decodeReferrersAnswer, Buffer.from(encode({ descriptors: Buffer.from('[]'), authoritative: true }))],
  'the answer to a push': [decodePushAnswer, Buffer.from(encode({ envelopes: [Buffer.alloc(5)] }))],
  'the answer to a deletion': [decodeDeleteAnswer, Buffer.from(encode({ deleted: true }))],
  'a token': [decodeTokenAnswer, Buffer.from(encode({ token: 'a.b.c' }))],
  'a request about notices': [decodeNoticeRequest, HEADS],
  'heads of notices': [decodeHeads, HEADS],
  'a request to fetch': [
    decodePrefetchMessage,
    Buffer.from(
      encodePrefetchMessage({ op: 'fetch', request: { reference: 'team/app:1', platform: 'all', deadlineMs: 5 } })
    )
  ],
  'a report of a fetch': [
    decodeReport,
    Buffer.from(encodeReport({ state: 'done', size: 5, heldBytes: 5, receivedBytes: 3, digest: DIGEST }))
  ],
  members: [decodeMembers, Buffer.from(encodeMembers([{ ...PEER, zone: 'eu', role: 'node' }]))],
  'a JOINED of what comes into the mesh': [
    decodeJoined,
    body(encodeJoined({ joinId: 1, size: 5, held: Buffer.from([128]), growth: GROWTH, peers: [] }))
  ],
  'a HAVE of what comes into the mesh': [decodeHave, body(encodeHave({ joinId: 1, pieces: [1], growth: GROWTH }))],
  'an ask for a lease': [decodeLeaseRequest, Buffer.from(encodeLeaseRequest({ op: 'acquire', digest: DIGEST }))],
  'a renewal of leases': [decodeLeaseRequest, Buffer.from(encodeLeaseRequest({ op: 'renew', digests: [DIGEST] }))],
  'the answer of an arbiter': [
    decodeLeaseAnswer,
    Buffer.from(encodeLeaseAnswer({ op: 'held', digest: DIGEST, holder: PEER }))
  ],
  'a notice': [decodeNotice, Buffer.from(encode({ envelope: Buffer.alloc(20) }))]
}

describe(`${FUZZ.runs} hostile byte strings each`, () => {
  test.each(Object.keys(DECODERS))('read as %s', (name) => {
    const [decode, sample] = DECODERS[name] ?? expect.fail()
    expect(() => decode(sample)).not.toThrow()
    const before = process.memoryUsage().heapUsed
    fc.assert(
      fc.property(hostileBytes(sample), (bytes) => {
        try {
          const once = decode(bytes)
          expect(decode(bytes)).toEqual(once)
        } catch (error) {
          // An error of the registry is what the other side said went wrong there.
          if (!isMisbehaviour(error) && !isOciError(error)) throw error
        }
      }),
      PARAMETERS
    )
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(20 * MAX_HELD_BYTES)
  })

  test('cut into frames', () => {
    const frames = Buffer.concat([
      encodeJoin({ joinId: 1, digest: DIGEST }),
      encodeRequest({ requestId: 1, joinId: 1, piece: 0 }),
      encodeDataHeader(1, 0, 5),
      Buffer.from('hello')
    ])
    const cuts = fc.array(fc.nat({ max: frames.length }), { maxLength: 5 })
    fc.assert(
      fc.property(hostileBytes(frames), cuts, (bytes, places) => {
        let kept = 0
        const reader = new FrameReader((_request, _offset, length) => {
          kept += length
          return Buffer.alloc(length)
        })
        const ends = [...places.toSorted((a, b) => a - b), bytes.length]
        try {
          let at = 0
          for (const end of ends) {
            for (const frame of reader.push(bytes.subarray(at, end))) kept += frame.body.byteLength
            at = Math.max(at, end)
          }
        } catch (error) {
          if (!isMisbehaviour(error)) throw error
        }
        expect(kept, 'bytes of memory').toBeLessThan(MAX_HELD_BYTES)
      }),
      PARAMETERS
    )
  })
})

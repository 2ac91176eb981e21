import { digestOf } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import { LIMITS } from '../limits.ts'
import { encodeFields } from '../wire/fields.ts'
import {
  decodeLeaseAnswer,
  decodeLeaseRequest,
  encodeLeaseAnswer,
  encodeLeaseRequest,
  type LeaseAnswer,
  type LeaseRequest
} from './messages.ts'

const digest = digestOf(new Uint8Array())
const holder = { peerId: '12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7', addresses: ['/ip4/10.0.0.1/tcp/1'] }
const misbehaved = expect.objectContaining({ code: 'PEER_MISBEHAVED' })
const unsupported = expect.objectContaining({ code: 'UNSUPPORTED' })

describe('a message about leases', () => {
  it.each<LeaseRequest>([
    { op: 'acquire', digest, holding: true, stalled: false },
    { op: 'acquire', digest, holding: false, stalled: true },
    { op: 'follow', digest },
    { op: 'renew', digests: [digest, digestOf(new Uint8Array(), 'sha512')] },
    { op: 'release', digest, reason: 'done' }
  ])('of an asker comes through: %j', (request) => {
    expect(decodeLeaseRequest(encodeLeaseRequest(request))).toEqual(request)
  })

  it('of an asker may leave out what is not so', () => {
    const request = { op: 'acquire', digest, holding: false, stalled: false }
    expect(decodeLeaseRequest(encodeLeaseRequest({ op: 'acquire', digest }))).toEqual(request)
  })

  it.each<LeaseAnswer>([
    { op: 'granted', digest },
    { op: 'held', digest, holder },
    { op: 'held', digest, holder: { ...holder, addresses: [] } },
    { op: 'refused', digest, reason: 'busy' }
  ])('of an arbiter comes through: %j', (answer) => {
    expect(decodeLeaseAnswer(encodeLeaseAnswer(answer))).toEqual(answer)
  })

  it('has room for the most that it may say', () => {
    const digests = Array(LIMITS.leasesPerRenewal).fill(digest)
    expect(encodeLeaseRequest({ op: 'renew', digests }).byteLength).toBeLessThanOrEqual(LIMITS.leaseMessageBytes)
    const addresses = Array(LIMITS.maxMultiaddrsPerPeer).fill('x'.repeat(LIMITS.maxMultiaddrLength))
    const held = encodeLeaseAnswer({ op: 'held', digest, holder: { ...holder, addresses } })
    expect(held.byteLength).toBeLessThanOrEqual(LIMITS.leaseMessageBytes)
  })

  it.each([
    ['a digest that is none', { op: 'acquire', digest: 'sha256:../..' }],
    ['no digest', { op: 'follow' }],
    ['a claim that is neither true nor false', { op: 'acquire', digest, holding: 1 }],
    ['more renewals than it may have', { op: 'renew', digests: Array(LIMITS.leasesPerRenewal + 1).fill(digest) }],
    ['a reason that nobody knows', { op: 'release', digest, reason: 'bored' }]
  ])('of an asker is refused with %s', (_what, fields) => {
    expect(() => decodeLeaseRequest(encodeFields(fields))).toThrow(misbehaved)
  })

  it.each([
    ['a holder that is no peer', { op: 'held', digest, holder: ['nobody', []] }],
    ['no holder', { op: 'held', digest }],
    ['a reason that nobody knows', { op: 'refused', digest, reason: 'bored' }]
  ])('of an arbiter is refused with %s', (_what, fields) => {
    expect(() => decodeLeaseAnswer(encodeFields(fields))).toThrow(misbehaved)
  })

  it('of a later version is told from one that can not be read', () => {
    const later = encodeFields({ op: 'lend', digest })
    expect(() => decodeLeaseRequest(later)).toThrow(unsupported)
    expect(() => decodeLeaseAnswer(later)).toThrow(unsupported)
  })
})

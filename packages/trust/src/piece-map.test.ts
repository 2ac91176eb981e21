import { createHash } from 'node:crypto'
import { type Digest, digestOf, pieceRange } from '@layermesh/oci'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { encode } from 'cborg'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { sealEnvelope } from './envelope.ts'
import { isTrustError } from './errors.ts'
import { MAX_PIECE_MAP_BYTES, openPieceMap, type PieceMap, pieceHash, sealPieceMap, verifyPiece } from './piece-map.ts'

const MIB = 2 ** 20
const KIND = { domain: 'layermesh-piece-map', payloadType: '/layermesh/piece-map/1', maxEnvelopeBytes: 1e6 }
const key = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(7))
const malformed = expect.objectContaining({ code: 'RECORD_MALFORMED' })
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()

/** A blob of two pieces, the second one short. */
const blob = Buffer.alloc(MIB + 5, 'layermesh')
const map: PieceMap = {
  digest: digestOf(blob),
  length: blob.length,
  pieceLength: MIB,
  hashes: Uint8Array.from(Buffer.concat([sha256(blob.subarray(0, MIB)), sha256(blob.subarray(MIB))]))
}

describe('a piece map', () => {
  it('is read as it was signed, at any length of the blob', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 2, max: 4096 }), fc.integer({ min: 0, max: 5 }), async (count, doublings) => {
        const pieceLength = MIB * 2 ** doublings
        const length = doublings === 0 ? count * MIB - 1 : (2048 + Math.ceil(count / 2)) * pieceLength
        const hashes = new Uint8Array(Math.ceil(length / pieceLength) * 32).fill(count)
        const large = { digest: map.digest, length, pieceLength, hashes }
        expect((await openPieceMap(await sealPieceMap(large, key))).map).toEqual(large)
      }),
      { numRuns: 20 }
    )
  })

  it('has room for the most pieces that a blob can have', async () => {
    const hashes = new Uint8Array(4096 * 32)
    const digest = digestOf(new Uint8Array(), 'sha512')
    const largest = { digest, length: Number.MAX_SAFE_INTEGER, pieceLength: 2 ** 41, hashes }
    const sealed = await sealPieceMap(largest, key)
    expect(sealed.length).toBeLessThanOrEqual(MAX_PIECE_MAP_BYTES)
    expect((await openPieceMap(sealed)).map).toEqual(largest)
  })

  it('is refused with any one bit flipped', async () => {
    const sealed = await sealPieceMap(map, key)
    await fc.assert(
      fc.asyncProperty(fc.nat(sealed.length * 8 - 1), async (bit) => {
        const flipped = Uint8Array.from(sealed)
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        await expect(openPieceMap(flipped)).rejects.toSatisfy(isTrustError)
      }),
      { numRuns: 300 }
    )
  })

  it.each([
    ['its pieces are of another length', { ...map, length: 3 * MIB, pieceLength: 2 * MIB }],
    ['a hash is missing', { ...map, hashes: map.hashes.slice(0, 32) }],
    ['a hash is cut', { ...map, hashes: map.hashes.slice(0, 63) }],
    ['there is a hash too many', { ...map, hashes: new Uint8Array(96) }],
    ['the hashes are a text', { ...map, hashes: 'x'.repeat(64) }],
    ['the length is negative', { ...map, length: -1, hashes: new Uint8Array() }],
    ['the length is a fraction', { ...map, length: 0.5 }],
    ['the digest is no digest', { ...map, digest: 'sha256:x' }],
    ['there is an unknown field', { ...map, more: true }],
    ['it contradicts the digest of a single piece', { ...map, length: 5, hashes: map.hashes.slice(0, 32) }],
    ['it calls a digest that of the empty blob', { ...map, length: 0, hashes: new Uint8Array() }]
  ])('is refused when %s, be the signature good', async (_what, payload) => {
    await expect(openPieceMap(await sealEnvelope(KIND, encode(payload), key))).rejects.toEqual(malformed)
  })

  it('is refused when its payload nests so deep that a stack overflows', async () => {
    const bomb = await sealEnvelope(KIND, new Uint8Array(MAX_PIECE_MAP_BYTES - 200).fill(0x81), key)
    await expect(openPieceMap(bomb)).rejects.toEqual(malformed)
  })

  it('is not signed when it could not be read', async () => {
    await expect(sealPieceMap({ ...map, digest: 'x' as Digest }, key)).rejects.toEqual(malformed)
    await expect(sealPieceMap({ ...map, hashes: new Uint8Array() }, key)).rejects.toEqual(malformed)
  })

  it('may be of one piece or none', async () => {
    const small = Buffer.from('small')
    for (const bytes of [small, small.subarray(0, 0)]) {
      const hashes = bytes.length === 0 ? new Uint8Array() : Uint8Array.from(sha256(bytes))
      const sealed = await sealPieceMap(
        { digest: digestOf(bytes), length: bytes.length, pieceLength: MIB, hashes },
        key
      )
      expect((await openPieceMap(sealed)).map.length).toBe(bytes.length)
    }
  })

  it('does not share memory with the bytes it was read from', async () => {
    const sealed = await sealPieceMap(map, key)
    const opened = await openPieceMap(sealed)
    sealed.fill(0)
    expect(opened.map.hashes).toEqual(map.hashes)
  })
})

describe('a piece', () => {
  const piece = (index: number) => {
    const { start, end } = pieceRange(index, blob.length)
    return blob.subarray(start, end)
  }

  it('is accepted when it is the right one', () => {
    expect(verifyPiece(map, 0, piece(0))).toBe(true)
    expect(verifyPiece(map, 1, piece(1))).toBe(true)
  })

  it('is refused with a wrong byte, too short, too long, or in the wrong place', () => {
    const wrong = Buffer.from(piece(1))
    wrong[2] = 0
    expect(verifyPiece(map, 1, wrong)).toBe(false)
    expect(verifyPiece(map, 1, piece(1).subarray(1))).toBe(false)
    expect(verifyPiece(map, 1, Buffer.concat([piece(1), Buffer.alloc(1)]))).toBe(false)
    expect(verifyPiece(map, 0, piece(1))).toBe(false)
    expect(verifyPiece(map, 1, piece(0))).toBe(false)
  })

  it('is refused at the wrong length even if a lying map has its hash', () => {
    const lie = { ...map, hashes: Uint8Array.from(Buffer.concat([sha256(piece(1)), sha256(piece(0))])) }
    expect(verifyPiece(lie, 1, piece(0))).toBe(false)
    expect(verifyPiece(lie, 0, piece(1))).toBe(false)
  })

  it('has no hash outside the blob', () => {
    for (const index of [-1, 2, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(pieceHash(map, index)).toBeUndefined()
      expect(verifyPiece(map, index, new Uint8Array())).toBe(false)
    }
    expect(pieceHash(map, 1)).toEqual(map.hashes.subarray(32))
  })
})

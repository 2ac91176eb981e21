import { digestOf } from '@layermesh/oci'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { encode } from 'cborg'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { sealEnvelope } from './envelope.ts'
import { isTrustError } from './errors.ts'
import { type GrowingMap, MAX_GROWING_MAP_BYTES, openGrowingMap, rootOfHashes, sealGrowingMap } from './growing-map.ts'
import { peerIdOf } from './keys.ts'

const MIB = 2 ** 20
const KIND = { domain: 'layermesh-growing-map', payloadType: '/layermesh/growing-map/1', maxEnvelopeBytes: 1e6 }
const key = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(7))
const malformed = expect.objectContaining({ code: 'RECORD_MALFORMED' })

const map: GrowingMap = {
  digest: digestOf(Buffer.from('a blob')),
  length: 5 * MIB + 1,
  pieceLength: MIB,
  count: 3,
  root: rootOfHashes(new Uint8Array(3 * 32)),
  since: 1
}

describe('a growing map', () => {
  it('is read as it was signed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 6 }), fc.nat(6), async (count, since) => {
        const each = { ...map, count, since: Math.min(since, count) }
        const sealed = await sealGrowingMap(each, key)
        expect(await openGrowingMap(sealed)).toEqual({ map: each, signer: peerIdOf(key) })
      }),
      { numRuns: 30 }
    )
  })

  it('has room for the longest digest and the longest blob', async () => {
    const digest = digestOf(new Uint8Array(), 'sha512')
    const largest = { ...map, digest, length: Number.MAX_SAFE_INTEGER, pieceLength: 2 ** 41, count: 4096, since: 4096 }
    expect((await sealGrowingMap(largest, key)).length).toBeLessThanOrEqual(MAX_GROWING_MAP_BYTES)
  })

  it('has one hash over those of its pieces, however they were told', () => {
    const hashes = Uint8Array.from({ length: 96 }, (_, index) => index)
    expect(rootOfHashes(hashes.subarray(0, 64), hashes.subarray(64))).toEqual(rootOfHashes(hashes))
  })

  it('is refused with any one bit flipped', async () => {
    const sealed = await sealGrowingMap(map, key)
    await fc.assert(
      fc.asyncProperty(fc.nat(sealed.length * 8 - 1), async (bit) => {
        const flipped = Uint8Array.from(sealed)
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        await expect(openGrowingMap(flipped)).rejects.toSatisfy(isTrustError)
      }),
      { numRuns: 300 }
    )
  })

  it.each([
    ['a digest that is none', { digest: 'sha256:abc' }],
    ['a length of a single piece', { length: MIB }],
    ['a length below nothing', { length: -1 }],
    ['a length with a fraction', { length: 5 * MIB + 0.5 }],
    ['another piece length', { pieceLength: 2 * MIB }],
    ['more pieces than there are', { count: 7 }],
    ['pieces below nothing', { count: -1 }],
    ['a part of a piece', { count: 1.5 }],
    ['a first own piece behind the last', { since: 4 }],
    ['a first own piece below nothing', { since: -1 }],
    ['a root that is too short', { root: new Uint8Array(31) }],
    ['a root that is too long', { root: new Uint8Array(33) }],
    ['a field that nobody knows', { more: 1 }],
    ['a root that is no bytes', { root: 'root' }]
  ])('is refused with %s, whoever signed it', async (_what, change) => {
    const payload = encode({ ...map, ...change })
    await expect(openGrowingMap(await sealEnvelope(KIND, payload, key))).rejects.toEqual(malformed)
    if (!('more' in change)) await expect(sealGrowingMap({ ...map, ...change } as GrowingMap, key)).rejects.toThrow()
  })
})

import { generateKeyPair, generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { encode, rfc8949EncodeOptions } from 'cborg'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { sealEnvelope } from './envelope.ts'
import { isTrustError } from './errors.ts'
import { peerIdOf } from './keys.ts'
import { formatSeedSet, MAX_SEED_SET_BYTES, openSeedSet, parseSeedSet, type SeedSet, sealSeedSet } from './seed-set.ts'

const KIND = { domain: 'layermesh-seed-set', payloadType: '/layermesh/seed-set/1', maxEnvelopeBytes: 1e6 }
const rootKey = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(7))
const root = peerIdOf(rootKey)
const peers = await Promise.all(
  [1, 2, 3, 4].map(async (byte) => peerIdOf(await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(byte))))
)
const [first = '', second = '', third = '', fourth = ''] = peers.toSorted()
const malformed = expect.objectContaining({ code: 'RECORD_MALFORMED' })

const set: SeedSet = {
  sequence: 3,
  issuedAt: 1_800_000_000_000,
  expiresAt: 1_831_536_000_000,
  seeds: [
    { peerId: first, repositories: ['**'], notAfter: 1_800_604_800_000 },
    { peerId: second, repositories: ['team/**', 'docker.io/library/*'] }
  ],
  revoked: [third, fourth]
}
/** An envelope with a good signature around any payload. */
const signed = (payload: unknown) => sealEnvelope(KIND, encode(payload, rfc8949EncodeOptions), rootKey)

describe('a seed set', () => {
  const patterns = fc.array(fc.constantFrom('**', 'team/*', 'docker.io/library/*'), { minLength: 1, maxLength: 64 })
  const sets: fc.Arbitrary<SeedSet> = fc
    .record({
      sequence: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      issuedAt: fc.nat(2 ** 40),
      expiresAt: fc.integer({ min: 2 ** 41, max: 2 ** 42 }),
      order: fc.shuffledSubarray(peers),
      cut: fc.nat(4),
      repositories: patterns,
      notAfter: fc.option(fc.nat(2 ** 42), { nil: undefined })
    })
    .map(({ order, cut, repositories, notAfter, ...times }) => ({
      ...times,
      seeds: order
        .slice(0, cut)
        .map((peerId) => ({ peerId, repositories, ...(notAfter === undefined ? {} : { notAfter }) })),
      revoked: order.slice(cut)
    }))

  it('is read as it was signed, its lists in order', async () => {
    await fc.assert(
      fc.asyncProperty(sets, async (made) => {
        expect(await openSeedSet(await sealSeedSet(made, rootKey))).toEqual({
          set: {
            ...made,
            seeds: made.seeds.toSorted((a, b) => (a.peerId < b.peerId ? -1 : 1)),
            revoked: made.revoked.toSorted()
          },
          root
        })
      })
    )
  })

  it('is refused with any one bit flipped', async () => {
    const sealed = await sealSeedSet(set, rootKey)
    await fc.assert(
      fc.asyncProperty(fc.nat(sealed.length * 8 - 1), async (bit) => {
        const flipped = Uint8Array.from(sealed)
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        await expect(openSeedSet(flipped)).rejects.toSatisfy(isTrustError)
      }),
      { numRuns: 300 }
    )
  })

  it('is refused from whoever is not the root', async () => {
    const sealed = await sealSeedSet(set, await generateKeyPair('Ed25519'))
    await expect(openSeedSet(sealed, (signer) => signer === root)).rejects.toMatchObject({ code: 'SIGNER_NOT_TRUSTED' })
  })

  const [grant] = set.seeds
  const withSeed = (change: Record<string, unknown>) => ({ ...set, seeds: [{ ...grant, ...change }] })
  const { revoked: _revoked, ...withoutRevoked } = set
  it.each([
    ['a field is missing', withoutRevoked],
    ['there is an unknown field', { ...set, extra: [] }],
    ['a seed has an unknown field', withSeed({ extra: 1 })],
    ['the sequence is 0', { ...set, sequence: 0 }],
    ['it expires when it is issued', { ...set, expiresAt: set.issuedAt }],
    ['a list is none', { ...set, seeds: 'x' }],
    ['a seed is none', { ...set, seeds: [first] }],
    ['a seed is no peer', withSeed({ peerId: 'alice' })],
    ['a seed may sign for nothing', withSeed({ repositories: [] })],
    ['a pattern means nothing', withSeed({ repositories: ['a//b'] })],
    ['the end of a seed is no time', withSeed({ notAfter: -1 })],
    ['seeds are out of order', { ...set, seeds: set.seeds.toReversed() }],
    ['a seed is there twice', { ...set, seeds: [grant, grant] }],
    ['who is revoked is no peer', { ...set, revoked: ['alice'] }],
    ['the revoked are out of order', { ...set, revoked: [fourth, third] }],
    ['a seed is revoked as well', { ...set, revoked: [first] }],
    ['there are too many seeds', { ...set, seeds: Array(65).fill(grant) }],
    ['too many are revoked', { ...set, revoked: Array(129).fill(third) }],
    ['it is nested in itself', [set]]
  ])('is refused when %s, be the signature good', async (_what, payload) => {
    await expect(openSeedSet(await signed(payload))).rejects.toEqual(malformed)
  })

  it('is not signed when it could not be read, nor when it is too long', async () => {
    await expect(sealSeedSet({ ...set, revoked: [first] }, rootKey)).rejects.toThrow(/can not be a seed and be revoked/)
    const long = Array.from({ length: 64 }, (_, i) => `${i}${'a'.repeat(400)}/**`)
    await expect(sealSeedSet({ ...set, seeds: [{ peerId: first, repositories: long }] }, rootKey)).rejects.toThrow(
      `at most ${MAX_SEED_SET_BYTES} bytes`
    )
  })

  it('is one line in a file', async () => {
    const sealed = await sealSeedSet(set, rootKey)
    expect(parseSeedSet(`${formatSeedSet(sealed)}\n`)).toEqual(new Uint8Array(sealed))
    for (const text of ['', 'a b', 'ä', 'a'.repeat(3 * MAX_SEED_SET_BYTES)]) {
      expect(() => parseSeedSet(text)).toThrow(malformed)
    }
  })
})

import { digestOf, MEDIA_TYPE, parseRepository, parseTag, type Repository, type Tag } from '@layermesh/oci'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { encode } from 'cborg'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { sealEnvelope } from './envelope.ts'
import { isTrustError } from './errors.ts'
import { peerIdOf } from './keys.ts'
import { sealPieceMap } from './piece-map.ts'
import {
  isTombstone,
  MAX_TAG_RECORD_BYTES,
  openTagRecord,
  openTrustedTagRecord,
  sealTagRecord,
  type TagMapping,
  type TagRecord,
  type TagTombstone
} from './tag-record.ts'
import { TrustPolicy } from './trust-policy.ts'

const KIND = { domain: 'layermesh-tag-record', payloadType: '/layermesh/tag-record/1', maxEnvelopeBytes: 1e6 }
const key = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(7))
const statement = {
  repository: parseRepository('team/app'),
  tag: parseTag('1.0'),
  sequence: 42,
  issuedAt: 1_800_000_000_000,
  expiresAt: 1_800_604_800_000
}
const mapping: TagMapping = {
  ...statement,
  digest: digestOf(Buffer.from('a manifest')),
  mediaType: MEDIA_TYPE.ociManifest,
  size: 712
}
const tombstone: TagTombstone = { ...statement, sequence: 43, deleted: true }
const malformed = expect.objectContaining({ code: 'RECORD_MALFORMED' })

/** An envelope with a good signature around any payload. */
const signed = (payload: unknown) => sealEnvelope(KIND, encode(payload), key)

describe('a tag record', () => {
  const time = fc.nat(2 ** 40)
  const records: fc.Arbitrary<TagRecord> = fc
    .record({
      repository: fc.constantFrom('a', 'team/app', 'docker.io/library/nginx', 'localhost:5000/x').map(parseRepository),
      tag: fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/).map(parseTag),
      sequence: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      issuedAt: time,
      lifetime: fc.integer({ min: 1, max: 2 ** 40 }),
      target: fc.option(
        fc.record({
          digest: fc.uint8Array().map((bytes) => digestOf(bytes, bytes.length % 2 ? 'sha512' : 'sha256')),
          mediaType: fc.constantFrom(MEDIA_TYPE.ociIndex, MEDIA_TYPE.dockerManifest),
          size: fc.nat(4_194_304)
        })
      )
    })
    .map(({ lifetime, target, ...rest }) => ({
      ...rest,
      expiresAt: rest.issuedAt + lifetime,
      ...(target ?? { deleted: true as const })
    }))

  it('is read as it was signed', async () => {
    await fc.assert(
      fc.asyncProperty(records, async (record) => {
        const opened = await openTagRecord(await sealTagRecord(record, key))
        expect(opened).toEqual({ record, signer: peerIdOf(key) })
        expect(isTombstone(opened.record)).toBe('deleted' in record)
      })
    )
  })

  it('is refused with any one bit flipped', async () => {
    const sealed = await sealTagRecord(mapping, key)
    await fc.assert(
      fc.asyncProperty(fc.nat(sealed.length * 8 - 1), async (bit) => {
        const flipped = Uint8Array.from(sealed)
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        await expect(openTagRecord(flipped)).rejects.toSatisfy(isTrustError)
      }),
      { numRuns: 300 }
    )
  })

  const { digest: _digest, ...withoutDigest } = mapping
  it.each([
    ['a field is missing', withoutDigest],
    ['there is an unknown field', { ...mapping, extra: 1 }],
    ['it is a mapping and a tombstone', { ...mapping, deleted: true }],
    ['it is a tombstone that is none', { ...tombstone, deleted: false }],
    ['the sequence is 0', { ...mapping, sequence: 0 }],
    ['the sequence is negative', { ...mapping, sequence: -1 }],
    ['the sequence is a text', { ...mapping, sequence: '42' }],
    ['the sequence is a fraction', { ...mapping, sequence: 1.5 }],
    ['the sequence is beyond exact numbers', { ...mapping, sequence: 2n ** 60n }],
    ['it expires when it is issued', { ...mapping, expiresAt: mapping.issuedAt }],
    ['a time is negative', { ...mapping, issuedAt: -1 }],
    ['the digest is no digest', { ...mapping, digest: 'sha256:../../x' }],
    ['the digest is bytes', { ...mapping, digest: Uint8Array.of(1) }],
    ['the media type could split a header', { ...mapping, mediaType: 'a/b\r\nx: y' }],
    ['the size is no manifest', { ...mapping, size: 4_194_305 }],
    ['the size is negative', { ...mapping, size: -1 }],
    ['the tag is no tag', { ...mapping, tag: '../x' }],
    ['the repository is no repository', { ...mapping, repository: 'Team' }],
    ['the repository has another name', { ...mapping, repository: 'index.docker.io/library/nginx' }],
    ['the repository lacks its library', { ...mapping, repository: 'docker.io/nginx' }],
    ['it is a list', [mapping]],
    ['it is null', null]
  ])('is refused when %s, be the signature good', async (_what, payload) => {
    await expect(openTagRecord(await signed(payload))).rejects.toEqual(malformed)
  })

  it('is not signed when it could not be read', async () => {
    for (const wrong of [{ sequence: 0 }, { expiresAt: 1 }, { tag: 'a b' as Tag }, { repository: 'A' as Repository }]) {
      await expect(sealTagRecord({ ...mapping, ...wrong }, key)).rejects.toEqual(malformed)
    }
  })

  it('has room for the longest names there are', async () => {
    const host = `${'h'.repeat(240)}.example`
    const record = {
      ...mapping,
      repository: parseRepository(`${host}:65535/${'n'.repeat(255)}`),
      tag: parseTag('t'.repeat(128)),
      digest: digestOf(new Uint8Array(), 'sha512'),
      mediaType: `${'a'.repeat(127)}/${'b'.repeat(127)}`,
      sequence: Number.MAX_SAFE_INTEGER,
      issuedAt: Number.MAX_SAFE_INTEGER - 1,
      expiresAt: Number.MAX_SAFE_INTEGER
    }
    const sealed = await sealTagRecord(record, key)
    expect(sealed.length).toBeLessThanOrEqual(MAX_TAG_RECORD_BYTES)
    expect((await openTagRecord(sealed)).record).toEqual(record)
  })

  it('is refused when it is too long, before it is decoded', async () => {
    const padded = await signed({ ...mapping, extra: new Uint8Array(MAX_TAG_RECORD_BYTES) })
    await expect(openTagRecord(padded)).rejects.toThrow(/at most 2048 bytes/)
  })

  it('is not a piece map', async () => {
    const hashes = new Uint8Array(32)
    const digest = digestOf(new Uint8Array(), 'sha512')
    const map = await sealPieceMap({ digest, length: 1, pieceLength: 2 ** 20, hashes }, key)
    await expect(openTagRecord(map)).rejects.toEqual(malformed)
  })
})

describe('a tag record of a peer', () => {
  it('is taken from a signer trusted for its repository', async () => {
    const policy = new TrustPolicy([{ peerId: peerIdOf(key), repositories: ['team/**'] }])
    expect((await openTrustedTagRecord(await sealTagRecord(mapping, key), policy)).record).toEqual(mapping)
  })

  it('is refused from a signer trusted for others only, and from a stranger', async () => {
    const sealed = await sealTagRecord(mapping, key)
    for (const grants of [[], [{ peerId: peerIdOf(key), repositories: ['other/**'] }]]) {
      await expect(openTrustedTagRecord(sealed, new TrustPolicy(grants))).rejects.toEqual(
        expect.objectContaining({ code: 'SIGNER_NOT_TRUSTED' })
      )
    }
  })
})

import { generateKeyPair, generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { encode, rfc8949EncodeOptions } from 'cborg'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { sealEnvelope } from './envelope.ts'
import { isTrustError } from './errors.ts'
import { peerIdOf } from './keys.ts'
import {
  type ApiKey,
  MAX_ROSTER_BYTES,
  MAX_ROSTER_ENTRIES,
  openRoster,
  type Roster,
  SCOPE_ACTIONS,
  sealRoster
} from './roster.ts'

const KIND = { domain: 'layermesh-roster', payloadType: '/layermesh/roster/1', maxEnvelopeBytes: 8e6 }
const key = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(7))
const peers = await Promise.all(
  [1, 2, 3].map(async (byte) => peerIdOf(await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(byte))))
)
const anybody = () => true
const malformed = expect.objectContaining({ code: 'RECORD_MALFORMED' })

const apiKey: ApiKey = {
  id: 'k1',
  hash: new Uint8Array(32).fill(9),
  name: 'CI of team A',
  user: 'alice',
  scopes: [{ repositories: 'team/**', actions: ['pull', 'create'] }],
  createdAt: 1_800_000_000_000,
  expiresAt: 1_900_000_000_000
}
const roster: Roster = {
  sequence: 3,
  issuedAt: 1_800_000_000_000,
  expiresAt: 1_800_604_800_000,
  revokedPeers: peers.slice(0, 2).sort(),
  revokedTickets: ['t1', 't2'],
  revokedKeys: ['other'],
  apiKeys: [apiKey]
}
/** An envelope with a good signature around any payload. */
const signed = (payload: unknown) => sealEnvelope(KIND, encode(payload, rfc8949EncodeOptions), key)

describe('a roster', () => {
  const ids = (arbitrary: fc.Arbitrary<string>) => fc.uniqueArray(arbitrary, { maxLength: 5 })
  const id = fc.stringMatching(/^[A-Za-z0-9]{1,64}$/)
  const scopes = fc.array(
    fc.record({
      repositories: fc.constantFrom('**', 'team/*', 'docker.io/library/*'),
      actions: fc.subarray([...SCOPE_ACTIONS], { minLength: 1 })
    }),
    { minLength: 1, maxLength: 16 }
  )
  const apiKeys = fc.record({
    id,
    hash: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    name: fc.stringMatching(/^[a-z ]{0,128}$/),
    user: fc.stringMatching(/^[a-z@.]{1,64}$/),
    scopes,
    createdAt: fc.nat(2 ** 40),
    expiresAt: fc.integer({ min: 2 ** 41, max: 2 ** 42 })
  })
  const rosters: fc.Arbitrary<Roster> = fc.record({
    sequence: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    issuedAt: fc.nat(2 ** 40),
    expiresAt: fc.integer({ min: 2 ** 41, max: 2 ** 42 }),
    revokedPeers: ids(fc.constantFrom(...peers)),
    revokedTickets: ids(id),
    revokedKeys: ids(id),
    apiKeys: fc.uniqueArray(apiKeys, { maxLength: 5, selector: (key) => key.id })
  })

  it('is read as it was signed, its lists in order', async () => {
    await fc.assert(
      fc.asyncProperty(rosters, async (made) => {
        const { roster: read, signer } = await openRoster(await sealRoster(made, key), anybody)
        expect(signer).toBe(peerIdOf(key))
        expect(read).toEqual({
          ...made,
          revokedPeers: [...made.revokedPeers].sort(),
          revokedTickets: [...made.revokedTickets].sort(),
          revokedKeys: [...made.revokedKeys].sort(),
          apiKeys: made.apiKeys.toSorted((a, b) => (a.id < b.id ? -1 : 1))
        })
      })
    )
  })

  it('has one encoding, in whatever order its lists were given', async () => {
    const turned = { ...roster, revokedPeers: roster.revokedPeers.toReversed(), revokedTickets: ['t2', 't1'] }
    expect(await sealRoster(turned, key)).toEqual(await sealRoster(roster, key))
  })

  it('is refused with any one bit flipped', async () => {
    const sealed = await sealRoster(roster, key)
    await fc.assert(
      fc.asyncProperty(fc.nat(sealed.length * 8 - 1), async (bit) => {
        const flipped = Uint8Array.from(sealed)
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        await expect(openRoster(flipped, anybody)).rejects.toSatisfy(isTrustError)
      }),
      { numRuns: 300 }
    )
  })

  it('is refused from a stranger before its signature is looked at', async () => {
    const sealed = await sealRoster(roster, await generateKeyPair('Ed25519'))
    sealed.set(new Uint8Array(64), sealed.length - 64)
    await expect(openRoster(sealed, (signer) => signer === peerIdOf(key))).rejects.toEqual(
      expect.objectContaining({ code: 'SIGNER_NOT_TRUSTED' })
    )
  })

  const [revoked = ''] = peers
  const { apiKeys: _keys, ...withoutKeys } = roster
  const withKey = (change: Record<string, unknown>) => ({ ...roster, apiKeys: [{ ...apiKey, ...change }] })
  const withScope = (change: Record<string, unknown>) => withKey({ scopes: [{ ...apiKey.scopes[0], ...change }] })
  it.each([
    ['a field is missing', withoutKeys],
    ['there is an unknown field', { ...roster, extra: [] }],
    ['a key has an unknown field', withKey({ extra: 1 })],
    ['a scope has an unknown field', withScope({ extra: 1 })],
    ['the sequence is 0', { ...roster, sequence: 0 }],
    ['it expires when it is issued', { ...roster, expiresAt: roster.issuedAt }],
    ['a list is none', { ...roster, revokedTickets: 't1' }],
    ['a list is a map', { ...roster, apiKeys: {} }],
    ['a list holds what is no text', { ...roster, revokedTickets: [1] }],
    ['a list is out of order', { ...roster, revokedTickets: ['t2', 't1'] }],
    ['a list holds something twice', { ...roster, revokedTickets: ['t1', 't1'] }],
    ['a list holds too much', { ...roster, revokedPeers: Array(MAX_ROSTER_ENTRIES + 1).fill(revoked) }],
    ['who is revoked is no peer', { ...roster, revokedPeers: ['alice'] }],
    ['an id could be more than an id', { ...roster, revokedTickets: ['../t'] }],
    ['a key is none', { ...roster, apiKeys: ['k1'] }],
    ['two keys have one id', { ...roster, apiKeys: [apiKey, apiKey] }],
    ['the hash of a key is short', withKey({ hash: new Uint8Array(31) })],
    ['a key is nobody’s', withKey({ user: '' })],
    ['a name could make a second line', withKey({ name: 'a\nb' })],
    ['a name is too long', withKey({ name: 'n'.repeat(129) })],
    ['a key has no scope', withKey({ scopes: [] })],
    ['a key has too many scopes', withKey({ scopes: Array(17).fill(apiKey.scopes[0]) })],
    ['a key expires before it was made', withKey({ expiresAt: 1 })],
    ['a scope has no action', withScope({ actions: [] })],
    ['an action is unknown', withScope({ actions: ['push'] })],
    ['actions are out of order', withScope({ actions: ['create', 'pull'] })],
    ['an action is there twice', withScope({ actions: ['pull', 'pull'] })],
    ['a pattern means nothing', withScope({ repositories: 'a//b' })],
    ['it is nested in itself', [roster]]
  ])('is refused when %s, be the signature good', async (_what, payload) => {
    await expect(openRoster(await signed(payload), anybody)).rejects.toEqual(malformed)
  })

  it('is not signed when it could not be read', async () => {
    for (const wrong of [{ sequence: 0 }, { revokedPeers: ['alice'] }, { revokedTickets: ['t1', 't1'] }]) {
      await expect(sealRoster({ ...roster, ...wrong }, key)).rejects.toEqual(malformed)
    }
  })

  it('is refused when it is too long, before it is decoded', async () => {
    const padded = await signed({ ...roster, extra: new Uint8Array(MAX_ROSTER_BYTES) })
    await expect(openRoster(padded, anybody)).rejects.toThrow(/at most 1000000 bytes/)
  })

  it('has room for as many keys as there may be', async () => {
    const many = Array.from({ length: MAX_ROSTER_ENTRIES }, (_, i) => ({ ...apiKey, id: `k${i}` }))
    const { roster: read } = await openRoster(await sealRoster({ ...roster, apiKeys: many }, key), anybody)
    expect(read.apiKeys).toHaveLength(MAX_ROSTER_ENTRIES)
    await expect(sealRoster({ ...roster, apiKeys: [...many, { ...apiKey, id: 'x' }] }, key)).rejects.toEqual(malformed)
  })
})

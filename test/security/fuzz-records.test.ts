import { digestOf, ownRepository, type Repository, type Tag } from '@layermesh/oci'
import {
  isTrustError,
  openPieceMap,
  openRoster,
  openSeedSet,
  openTicket,
  openTrustedTagRecord,
  peerIdOf,
  sealTagRecord,
  TrustPolicy
} from '@layermesh/trust'
import { generateKeyPair } from '@libp2p/crypto/keys'
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { tagKey, tagRecordRules } from '../../packages/mesh/src/tags/record-rules.ts'
import { FUZZ, hostileBytes, PARAMETERS } from './support/fuzzing.ts'

const REPOSITORY = ownRepository('team/app')
const TAG = '1' as Tag
const HOUR_MS = 3_600_000
/** Signatures take a tenth of a millisecond each. */
const TIMEOUT_MS = 120_000

type Key = Awaited<ReturnType<typeof generateKeyPair>>
let seed: Key
let stranger: Key
let policy: TrustPolicy

beforeAll(async () => {
  seed = await generateKeyPair('Ed25519')
  stranger = await generateKeyPair('Ed25519')
  policy = new TrustPolicy([{ peerId: peerIdOf(seed) }])
})

function recordBy(key: Key, repository: Repository = REPOSITORY, sequence = 5): Promise<Uint8Array> {
  const issuedAt = Date.now()
  const meaning = {
    digest: digestOf(Buffer.from('m')),
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    size: 9
  }
  return sealTagRecord({ repository, tag: TAG, sequence, issuedAt, expiresAt: issuedAt + HOUR_MS, ...meaning }, key)
}

/** Fails unless `open` refuses all hostile changes to an envelope with an error of trust. */
async function expectRefused(envelope: Uint8Array, open: (bytes: Uint8Array) => Promise<unknown>): Promise<void> {
  await fc.assert(
    fc.asyncProperty(hostileBytes(Buffer.from(envelope)), async (bytes) => {
      if (bytes.equals(Buffer.from(envelope))) return
      const opened = await open(bytes).then(
        () => 'opened',
        (error: unknown) => (isTrustError(error) ? 'refused' : String(error))
      )
      expect(opened).toBe('refused')
    }),
    PARAMETERS
  )
}

describe(`${FUZZ.runs} changes to an envelope, none of which its signer made`, { timeout: TIMEOUT_MS }, () => {
  test('a tag record', async () => {
    await expectRefused(await recordBy(seed), (bytes) => openTrustedTagRecord(bytes, policy))
  })

  test.each([
    ['piece map', (bytes: Uint8Array) => openPieceMap(bytes)],
    ['roster', (bytes: Uint8Array) => openRoster(bytes, () => true)],
    ['seed set', (bytes: Uint8Array) => openSeedSet(bytes, () => true)],
    ['ticket', (bytes: Uint8Array) => openTicket(bytes, () => true)]
  ])('read as a %s, which it is not', async (_, open) => {
    await expectRefused(Buffer.concat([await recordBy(seed), Buffer.from([0])]), open)
  })
})

describe('what the DHT keeps', { timeout: TIMEOUT_MS }, () => {
  const rules = () => tagRecordRules(async (envelope) => (await openTrustedTagRecord(envelope, policy)).record)

  test('is a record of a trusted signer, for the key that it is kept under, and nothing else', async () => {
    const { validate } = rules()
    const own = await recordBy(seed)
    const key = tagKey(REPOSITORY, TAG)
    await expect(validate(key, own)).resolves.toBeUndefined()
    const other = ownRepository('team/other')
    await expect(validate(key, await recordBy(seed, other))).rejects.toThrow()
    await expect(validate(tagKey(other, TAG), own)).rejects.toThrow()
    await expect(validate(key, await recordBy(stranger))).rejects.toThrow()
    await fc.assert(
      fc.asyncProperty(hostileBytes(Buffer.from(own)), hostileBytes(Buffer.from(key)), async (value, under) => {
        if (value.equals(Buffer.from(own)) && under.equals(Buffer.from(key))) return
        await expect(validate(under, value)).rejects.toThrow()
      }),
      PARAMETERS
    )
  })

  test('is the newest of all that are valid, whatever is among them', async () => {
    const { select } = rules()
    const key = tagKey(REPOSITORY, TAG)
    const newest = await recordBy(seed, REPOSITORY, 9)
    const older = await recordBy(seed, REPOSITORY, 8)
    const forged = await recordBy(stranger, REPOSITORY, 99)
    const junk = fc.array(fc.oneof(hostileBytes(Buffer.from(older)), fc.constantFrom(older, forged)), { maxLength: 4 })
    await fc.assert(
      fc.asyncProperty(junk, fc.nat({ max: 4 }), async (others, place) => {
        const values = others.toSpliced(place, 0, newest)
        expect(values[await select(key, values)]).toBe(newest)
      }),
      { ...PARAMETERS, numRuns: FUZZ.all ? FUZZ.runs : 1_000 }
    )
  })
})

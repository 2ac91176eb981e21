import { generateKeyPair, generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { openEnvelope, type RecordKind, sealEnvelope } from './envelope.ts'
import { isTrustError } from './errors.ts'
import { peerIdOf } from './keys.ts'

const kind: RecordKind = { domain: 'test-domain', payloadType: '/test/1', maxEnvelopeBytes: 1024 }
const key = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(1))
const payload = Buffer.from('what is said')
const refusal = (code: string) => expect.objectContaining({ code })

describe('an envelope', () => {
  it('gives back the payload and the signer', async () => {
    const opened = await openEnvelope(kind, await sealEnvelope(kind, payload, key))
    expect(Buffer.from(opened.payload)).toEqual(payload)
    expect(opened.signer).toBe(peerIdOf(key))
  })

  it('is refused for another domain, another payload type, another signature', async () => {
    const sealed = await sealEnvelope(kind, payload, key)
    await expect(openEnvelope({ ...kind, domain: 'other' }, sealed)).rejects.toEqual(refusal('SIGNATURE_INVALID'))
    await expect(openEnvelope({ ...kind, payloadType: '/test/2' }, sealed)).rejects.toEqual(refusal('RECORD_MALFORMED'))
    const other = await sealEnvelope(kind, Buffer.from('what was said'), key)
    const swapped = Buffer.concat([sealed.subarray(0, -64), other.subarray(-64)])
    await expect(openEnvelope(kind, swapped)).rejects.toEqual(refusal('SIGNATURE_INVALID'))
  })

  it('is refused when another key is put in front of it', async () => {
    const sealed = Buffer.from(await sealEnvelope(kind, payload, key))
    const other = await generateKeyPair('Ed25519')
    sealed.set(other.publicKey.raw, 6)
    await expect(openEnvelope(kind, sealed)).rejects.toEqual(refusal('SIGNATURE_INVALID'))
  })

  it('is refused with a field more, a field twice, fields out of order, a length in more bytes than it needs', async () => {
    const sealed = Buffer.from(await sealEnvelope(kind, payload, key))
    const signatureField = sealed.subarray(-66)
    const variants = [
      Buffer.concat([sealed, Buffer.from([0x32, 0x01, 0x00])]),
      Buffer.concat([sealed, signatureField]),
      sealed.subarray(0, -1),
      Buffer.concat([sealed.subarray(0, -65), Buffer.from([0xc0, 0x00]), sealed.subarray(-64)]),
      Buffer.concat([sealed.subarray(38), sealed.subarray(0, 38)]),
      Buffer.alloc(0)
    ]
    for (const bytes of variants) await expect(openEnvelope(kind, bytes)).rejects.toEqual(refusal('RECORD_MALFORMED'))
  })

  it('without a signature, or with a short one, is not valid, rather than a crash', async () => {
    const sealed = Buffer.from(await sealEnvelope(kind, payload, key))
    const short = Buffer.concat([sealed.subarray(0, -65), Buffer.from([0x3f]), sealed.subarray(-63)])
    for (const bytes of [short, sealed.subarray(0, -66)]) {
      await expect(openEnvelope(kind, bytes)).rejects.toEqual(refusal('SIGNATURE_INVALID'))
    }
  })

  it('may be exactly as long as its kind allows', async () => {
    const sealed = await sealEnvelope(kind, payload, key)
    await openEnvelope({ ...kind, maxEnvelopeBytes: sealed.length }, sealed)
    const tooShort = { ...kind, maxEnvelopeBytes: sealed.length - 1 }
    await expect(openEnvelope(tooShort, sealed)).rejects.toEqual(refusal('RECORD_MALFORMED'))
    await expect(sealEnvelope(tooShort, payload, key)).rejects.toEqual(refusal('RECORD_TOO_LARGE'))
  })

  it('takes no other key than Ed25519', async () => {
    const ecdsa = await generateKeyPair('secp256k1')
    await expect(sealEnvelope(kind, payload, ecdsa)).rejects.toEqual(refusal('RECORD_MALFORMED'))
  })

  it('is refused with any one bit flipped', async () => {
    const sealed = await sealEnvelope(kind, payload, key)
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const flipped = Uint8Array.from(sealed)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      await expect(openEnvelope(kind, flipped), `bit ${bit}`).rejects.toSatisfy(isTrustError)
    }
  })

  it('throws nothing but a TrustError, whatever the bytes', async () => {
    const prefix = Buffer.from([0x0a, 0x24, 0x08, 0x01, 0x12, 0x20])
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.uint8Array({ maxLength: 200 }).map((rest) => Buffer.concat([prefix, rest]))
    )
    await fc.assert(
      fc.asyncProperty(bytes, async (input) => {
        await expect(openEnvelope(kind, input)).rejects.toSatisfy(isTrustError)
      })
    )
  })
})

import { X509Certificate } from 'node:crypto'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { generateCertificate, verifyPeerCertificate } from '@libp2p/tls/utils'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createCertificate, verifyCertificate } from './certificate.ts'

const refused = expect.objectContaining({ code: 'PEER_IDENTITY' })

async function certificateOf(identity: PrivateKey): Promise<X509Certificate> {
  return new X509Certificate((await createCertificate(identity)).cert)
}

/** With one byte changed. */
function spoilt(certificate: X509Certificate, index: number): X509Certificate {
  const der = Buffer.from(certificate.raw)
  der.writeUInt8(der.readUInt8(index) ^ 1, index)
  return new X509Certificate(der)
}

describe('a certificate', () => {
  afterEach(() => void vi.useRealTimers())

  it.each(['Ed25519', 'secp256k1'] as const)('names a node by its %s key', async (type) => {
    const identity = await generateKeyPair(type)
    const peerId = await verifyCertificate(await certificateOf(identity), undefined)
    expect(peerId.toString()).toBe(peerIdFromPrivateKey(identity).toString())
  })

  it('is good for @libp2p/tls', async () => {
    const identity = await generateKeyPair('Ed25519')
    const peerId = peerIdFromPrivateKey(identity)
    expect((await verifyPeerCertificate((await certificateOf(identity)).raw, peerId)).equals(peerId)).toBe(true)
  })

  it('may be one of @libp2p/tls', async () => {
    const identity = await generateKeyPair('Ed25519')
    const peerId = peerIdFromPrivateKey(identity)
    const { cert } = await generateCertificate(identity)
    expect((await verifyCertificate(new X509Certificate(cert), peerId)).equals(peerId)).toBe(true)
  })

  it('of another node than the expected one is refused', async () => {
    const expected = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
    const certificate = await certificateOf(await generateKeyPair('Ed25519'))
    await expect(verifyCertificate(certificate, expected)).rejects.toEqual(refused)
  })

  it('with the name of a node that did not sign it is refused', async () => {
    const victim = await generateKeyPair('Ed25519')
    const liar = await generateKeyPair('Ed25519')
    const posing: PrivateKey = Object.create(victim, { sign: { value: (data: Uint8Array) => liar.sign(data) } })
    await expect(verifyCertificate(await certificateOf(posing), undefined)).rejects.toThrow(
      'not signed by the identity that it names'
    )
  })

  it('that was changed is refused', async () => {
    const certificate = await certificateOf(await generateKeyPair('Ed25519'))
    const inSerialNumber = 20
    await expect(verifyCertificate(spoilt(certificate, inSerialNumber), undefined)).rejects.toThrow(
      'not signed by itself'
    )
  })

  it('is refused before and after its time', async () => {
    const certificate = await certificateOf(await generateKeyPair('Ed25519'))
    vi.useFakeTimers({ toFake: ['Date'] })
    for (const year of [2020, 2200]) {
      vi.setSystemTime(new Date(`${year}-01-01`))
      await expect(verifyCertificate(certificate, undefined)).rejects.toThrow('is valid from')
    }
  })

  it('is valid on a node whose clock is some hours behind', async () => {
    const certificate = await certificateOf(await generateKeyPair('Ed25519'))
    vi.useFakeTimers({ toFake: ['Date'] })
    vi.setSystemTime(Date.now() - 12 * 60 * 60_000)
    await verifyCertificate(certificate, undefined)
  })

  it('of a web server is refused', async () => {
    await expect(verifyCertificate(new X509Certificate(ORDINARY), undefined)).rejects.toThrow('no readable libp2p')
  })

  it('of a key that makes no peer id is refused', async () => {
    await expect(verifyCertificate(await certificateOf(await generateKeyPair('ECDSA')), undefined)).rejects.toEqual(
      refused
    )
  })

  it('must be there', async () => {
    await expect(verifyCertificate(undefined, undefined)).rejects.toEqual(refused)
  })
})

/** Self-signed, without libp2p's extension; valid for a hundred years. */
const ORDINARY = `-----BEGIN CERTIFICATE-----
MIIBczCCARmgAwIBAgIUe+b9XAxyOUzOoa7DTEta2iZvinwwCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDd2ViMCAXDTI2MTEyNTA0NTc1OVoYDzIxMjYxMTAxMDQ1NzU5
WjAOMQwwCgYDVQQDDAN3ZWIwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARLP2V/
p/sk7P/JjdPDdH/xk+hID74YZ8XzU4/4Z5NWMmE/2cAspHrFsONG2dF1HpJQ/RWP
eAV+qv7MkScfvhK+o1MwUTAdBgNVHQ4EFgQUaW4+lYUYxG9xyZkL9O5xrwgDZ0kw
HwYDVR0jBBgwFoAUaW4+lYUYxG9xyZkL9O5xrwgDZ0kwDwYDVR0TAQH/BAUwAwEB
/zAKBggqhkjOPQQDAgNIADBFAiAYpVF2b5PHdzsICiozGVesMwekhxRZezsO/gvd
otF9yAIhAIcNjDFwyyl7KmO1J6Z/Z9v9a5lwg60dURrBSl3eOmW1
-----END CERTIFICATE-----`

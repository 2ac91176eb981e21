import { sign, verify } from 'node:crypto'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { expect, it } from 'vitest'
import { signingKeyOf, verifyingKeyOf } from './key-objects.ts'
import { peerIdOf } from './keys.ts'

const MESSAGE = Buffer.from('what is signed')

it('signs with the key of a node what its peer id verifies', async () => {
  const key = await generateKeyPair('Ed25519')
  const verifying = verifyingKeyOf(peerIdOf(key))
  const signature = sign(null, MESSAGE, signingKeyOf(key))
  if (verifying === undefined) throw new Error('there is no key in the peer id')
  expect(verify(null, MESSAGE, verifying, signature)).toBe(true)
  expect(verify(null, Buffer.from('something else'), verifying, signature)).toBe(false)
  expect(await key.publicKey.verify(MESSAGE, signature)).toBe(true)
})

it('finds no key in what names none, or one of another type', async () => {
  const secp256k1 = peerIdOf(await generateKeyPair('secp256k1'))
  for (const peerId of ['', 'seed', '12D3KooW', 'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N', secp256k1]) {
    expect(verifyingKeyOf(peerId), peerId).toBeUndefined()
  }
})

it('signs nothing with a key of another type', async () => {
  const key = await generateKeyPair('secp256k1')
  expect(() => signingKeyOf(key)).toThrow(expect.objectContaining({ code: 'KEY_UNREADABLE' }))
})

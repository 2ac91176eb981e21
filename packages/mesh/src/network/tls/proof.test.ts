import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PeerId } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { describe, expect, it } from 'vitest'
import { checkProof, makeProof, proofKey, type Session } from './proof.ts'

const somebody = async (): Promise<PeerId> => peerIdFromPrivateKey(await generateKeyPair('Ed25519'))

const key = proofKey(Buffer.alloc(32, 1))
const otherKey = proofKey(Buffer.alloc(32, 2))
const [client, server, stranger] = [await somebody(), await somebody(), await somebody()]
const session: Session = { keyingMaterial: Buffer.alloc(32, 3), client, server }

describe('a proof of membership', () => {
  it('convinces who knows the secret', () => {
    expect(checkProof(makeProof(key, 'client', session), [key], 'client', session)).toBe(true)
  })

  it('with another secret is worth nothing', () => {
    expect(checkProof(makeProof(otherKey, 'client', session), [key], 'client', session)).toBe(false)
  })

  it('may be with any of several secrets, as while they change', () => {
    for (const used of [key, otherKey])
      expect(checkProof(makeProof(used, 'client', session), [key, otherKey], 'client', session)).toBe(true)
  })

  it('is worth nothing when it is sent back', () => {
    expect(checkProof(makeProof(key, 'client', session), [key], 'server', session)).toBe(false)
  })

  it.each([
    ['in another TLS session', { ...session, keyingMaterial: Buffer.alloc(32, 4) }],
    ['of another client', { ...session, client: stranger }],
    ['for another server', { ...session, server: stranger }]
  ])('%s is worth nothing', (_, other) => {
    expect(checkProof(makeProof(key, 'client', other), [key], 'client', session)).toBe(false)
  })
})

import { readFile } from 'node:fs/promises'
import { generateKeyPair, generateKeyPairFromSeed } from '@libp2p/crypto/keys'
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

  it('is as PROTOCOL.md shows it', async () => {
    const [client, server] = await Promise.all(
      [5, 6].map(async (byte) => peerIdFromPrivateKey(await generateKeyPairFromSeed('Ed25519', Buffer.alloc(32, byte))))
    )
    if (!client || !server) throw new Error('no peer ids')
    const proof = makeProof(key, 'client', { keyingMaterial: Buffer.alloc(32, 3), client, server })
    const text = await readFile(new URL('../../../PROTOCOL.md', import.meta.url), 'utf8')
    expect(text).toContain(`the proof of the client is\n\`${Buffer.from(proof).toString('hex')}\``)
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

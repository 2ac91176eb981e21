import { readFile } from 'node:fs/promises'
import { generateKeyPair, generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import type { PeerId } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { describe, expect, it } from 'vitest'
import type { Role } from './handshake.ts'
import { makeProof, proofKey, type Session } from './proof.ts'

const somebody = async (): Promise<PeerId> => peerIdFromPrivateKey(await generateKeyPair('Ed25519'))

const key = proofKey(Buffer.alloc(32, 1))
const otherKey = proofKey(Buffer.alloc(32, 2))
const [client, server, stranger] = [await somebody(), await somebody(), await somebody()]
const session: Session = { keyingMaterial: Buffer.alloc(32, 3), client, server }

/** Whether a proof is the one that such a peer would make. */
const fits = (proof: Uint8Array, by: Uint8Array, role: Role, about: Session) =>
  Buffer.compare(proof, makeProof(by, role, about)) === 0

describe('a proof of membership', () => {
  it('convinces who knows the secret', () => {
    expect(fits(makeProof(key, 'client', session), key, 'client', session)).toBe(true)
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
    expect(fits(makeProof(otherKey, 'client', session), key, 'client', session)).toBe(false)
  })

  it('is worth nothing when it is sent back', () => {
    expect(fits(makeProof(key, 'client', session), key, 'server', session)).toBe(false)
  })

  it.each([
    ['in another TLS session', { ...session, keyingMaterial: Buffer.alloc(32, 4) }],
    ['of another client', { ...session, client: stranger }],
    ['for another server', { ...session, server: stranger }]
  ])('%s is worth nothing', (_, other) => {
    expect(fits(makeProof(key, 'client', other), key, 'client', session)).toBe(false)
  })
})

import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { TrustError } from './errors.ts'

/*
 * A node's key in the form that Node's own crypto, and libraries for JSON Web Tokens, take. One key signs records,
 * handshakes and tokens: each begins with bytes that the others never begin with (a record with the length of its
 * domain, less than 65; a handshake with its name, `noise-libp2p-static-key:` or `libp2p-tls-handshake:`; a token with
 * the `eyJ` of its header), so that a signature of one is none of another.
 */

const SEED_LENGTH = 32

/** The private key, to sign with. @throws {TrustError} KEY_UNREADABLE for another key than Ed25519 */
export function signingKeyOf({ type, raw, publicKey }: PrivateKey): KeyObject {
  if (type !== 'Ed25519') throw new TrustError('KEY_UNREADABLE', `a key of type ${type} signs no tokens`)
  const d = base64url(raw.subarray(0, SEED_LENGTH))
  return createPrivateKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', d, x: base64url(publicKey.raw) } })
}

/** The public key that a peer id names, to verify with; undefined for what names no Ed25519 key. */
export function verifyingKeyOf(peerId: string): KeyObject | undefined {
  try {
    const { publicKey } = peerIdFromString(peerId)
    if (publicKey?.type !== 'Ed25519') return undefined
    return createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x: base64url(publicKey.raw) } })
  } catch {
    return undefined
  }
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url')
}

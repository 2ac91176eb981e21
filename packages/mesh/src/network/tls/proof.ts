/**
 * The proof of membership over TLS (PROTOCOL.md §Membership): once the handshake has shown who the peers are, each
 * shows that it knows the cluster secret. The proof covers keying material of this TLS session, so it is worth nothing
 * in another, and the sender's role and both names, so it can not be sent back or be passed on.
 */
import { createHmac, hkdfSync } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type { PeerId } from '@libp2p/interface'
import type { Role } from './handshake.ts'

export const PROOF_BYTES = 32
const KEY_BYTES = 32
const KEYING_MATERIAL_BYTES = 32
const KEY_INFO = 'layermesh membership 1 tls'
/** A label for private use (RFC 5705 §4). */
const EXPORTER_LABEL = 'EXPERIMENTAL layermesh membership 1'

const ROLE_BYTE = Object.freeze({ client: 1, server: 2 }) satisfies Record<Role, number>

/** What a proof is about. */
export interface Session {
  /** Exported from the TLS session, see {@link keyingMaterial}. */
  readonly keyingMaterial: Uint8Array
  readonly client: PeerId
  readonly server: PeerId
}

/** The key that proofs are made with; it does not tell the secret. */
export function proofKey(secret: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, new Uint8Array(), KEY_INFO, KEY_BYTES))
}

/** Bytes that only the two ends of this TLS session know (RFC 8446 §7.5). */
export function keyingMaterial(socket: TLSSocket): Uint8Array {
  return socket.exportKeyingMaterial(KEYING_MATERIAL_BYTES, EXPORTER_LABEL, Buffer.alloc(0))
}

/** What one who knows the secret sends; who checks it makes the same. */
export function makeProof(key: Uint8Array, role: Role, session: Session): Uint8Array {
  const hmac = createHmac('sha256', key).update(Uint8Array.of(ROLE_BYTE[role])).update(session.keyingMaterial)
  for (const { bytes } of [session.client.toMultihash(), session.server.toMultihash()]) {
    hmac.update(Uint8Array.of(bytes.byteLength)).update(bytes)
  }
  return hmac.digest()
}

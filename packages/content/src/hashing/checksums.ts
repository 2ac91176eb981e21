import { createCipheriv, hash } from 'node:crypto'
import { MAC_LENGTH } from './lengths.ts'
import type { MacNonce } from './piece-checks.ts'

/** What is to be computed of bytes. */
export interface WantedChecksums {
  /** Whether their SHA-256 is. */
  readonly hash: boolean
  /** Their MAC is, with this nonce. */
  readonly mac?: MacNonce
}

export interface Checksums {
  readonly hash?: Uint8Array
  readonly mac?: Uint8Array
}

/** @param macKey of this process, 32 bytes */
export function checksumsOf(bytes: Uint8Array, want: WantedChecksums, macKey: Uint8Array): Checksums {
  return {
    ...(want.hash ? { hash: sha256Of(bytes) } : {}),
    ...(want.mac === undefined ? {} : { mac: macOf(bytes, want.mac, macKey) })
  }
}

export function sha256Of(bytes: Uint8Array): Uint8Array {
  return hash('sha256', bytes, 'buffer')
}

/** Poly1305 with a key of its own for each nonce (RFC 8439 §2.6, §2.8), over data that is not encrypted. */
export function macOf(bytes: Uint8Array, { blob, piece }: MacNonce, macKey: Uint8Array): Uint8Array {
  const nonce = Buffer.alloc(12)
  nonce.writeUIntBE(blob, 0, 6)
  nonce.writeUIntBE(piece, 6, 6)
  const cipher = createCipheriv('chacha20-poly1305', macKey, nonce, { authTagLength: MAC_LENGTH })
  cipher.setAAD(bytes, { plaintextLength: 0 })
  cipher.final()
  return cipher.getAuthTag()
}

import { createHash, type Hash } from 'node:crypto'
import { OciError } from './errors.ts'

export type DigestAlgorithm = 'sha256' | 'sha512'

/** `algorithm:hex`, checked: it never holds a path separator, an upper-case letter or anything else unexpected. */
export type Digest = `${DigestAlgorithm}:${string}` & { readonly __digest: unique symbol }

const HEX_LENGTH: Record<DigestAlgorithm, number> = { sha256: 64, sha512: 128 }
const LOWER_HEX = /^[0-9a-f]+$/

/** Tells whether `text` is a digest that this registry knows (image-spec §Digests: sha256 and sha512, lower-case hex). */
export function isDigest(text: unknown): text is Digest {
  if (typeof text !== 'string') return false
  const colon = text.indexOf(':')
  const length = HEX_LENGTH[text.slice(0, colon) as DigestAlgorithm]
  return length !== undefined && text.length === colon + 1 + length && LOWER_HEX.test(text.slice(colon + 1))
}

/** Reads a digest. @throws {OciError} DIGEST_INVALID */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text
  throw new OciError('DIGEST_INVALID', 'expected sha256: and 64, or sha512: and 128, lower-case hex digits', {
    detail: { digest: text.slice(0, 200) }
  })
}

/** The algorithm of a digest. */
export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.slice(0, digest.indexOf(':')) as DigestAlgorithm
}

/** The lower-case hex digits of a digest. */
export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1)
}

/** The raw hash value: 32 bytes for sha256, 64 for sha512. */
export function digestBytes(digest: Digest): Uint8Array {
  return Buffer.from(digestHex(digest), 'hex')
}

/** A digest of an algorithm and a raw hash value. @throws {OciError} DIGEST_INVALID when the length is not the algorithm's. */
export function digestOfHash(algorithm: DigestAlgorithm, hash: Uint8Array): Digest {
  return parseDigest(`${algorithm}:${Buffer.from(hash.buffer, hash.byteOffset, hash.byteLength).toString('hex')}`)
}

/** The digest of bytes in memory. */
export function digestOf(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return digestOfHash(algorithm, createHash(algorithm).update(bytes).digest())
}

/** A running hash for a digest of this algorithm; finish it with {@link digestOfHash}. */
export function createDigestHash(algorithm: DigestAlgorithm): Hash {
  return createHash(algorithm)
}

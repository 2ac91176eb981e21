import { createCipheriv, createHash } from 'node:crypto'

const CHUNK_BYTES = 1024 * 1024

/** Bytes that no compression makes smaller, the same for the same `seed`, in chunks of 1 MiB. */
export function* noise(seed: string, length: number): Generator<Buffer> {
  const key = createHash('sha256').update(seed).digest()
  const keyStream = createCipheriv('aes-256-ctr', key, Buffer.alloc(16))
  const zeros = Buffer.alloc(Math.min(CHUNK_BYTES, length))
  for (let left = length; left > 0; left -= CHUNK_BYTES) {
    yield keyStream.update(left >= CHUNK_BYTES ? zeros : zeros.subarray(0, left))
  }
}

/** The sha256 of {@link noise}, in hex. */
export function noiseHash(seed: string, length: number): string {
  const hash = createHash('sha256')
  for (const chunk of noise(seed, length)) hash.update(chunk)
  return hash.digest('hex')
}

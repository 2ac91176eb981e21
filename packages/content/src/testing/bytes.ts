import type { ByteRange } from '@layermesh/oci'

export const MIB = 1024 * 1024

/** Bytes that look random and are the same for the same seed. */
export function bytesOf(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length)
  const words = new Uint32Array(bytes.buffer, 0, Math.floor(length / 4))
  let state = seed * 0x9e3779b1 + 1
  for (let index = 0; index < words.length; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0
    words[index] = state ^ (state >>> 15)
  }
  for (let index = words.length * 4; index < length; index++) bytes[index] = (index * 31 + seed) & 0xff
  return bytes
}

/** `bytes` in chunks. */
export async function* chunksOf(bytes: Uint8Array, chunkLength = 64 * 1024): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += chunkLength) yield bytes.subarray(at, at + chunkLength)
}

/** `bytes`, then an error. */
export async function* brokenOff(bytes: Uint8Array, error: Error): AsyncGenerator<Uint8Array> {
  yield* chunksOf(bytes)
  throw error
}

export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = []
  for await (const chunk of chunks) all.push(chunk)
  return new Uint8Array(Buffer.concat(all))
}

export function whole({ size }: { readonly size: number }): ByteRange {
  return { start: 0, end: size }
}

/** The piece `index` of `bytes`, for blobs of up to 4 GiB. */
export function pieceOf(bytes: Uint8Array, index: number): Uint8Array {
  return bytes.subarray(index * MIB, (index + 1) * MIB)
}

export function isSame(one: Uint8Array | undefined, other: Uint8Array): boolean {
  return one !== undefined && Buffer.compare(one, other) === 0
}

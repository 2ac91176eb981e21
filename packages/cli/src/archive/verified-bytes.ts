import { createDigestHash, type Digest, digestAlgorithm, digestOfHash } from '@layermesh/oci'

/**
 * The bytes of a blob as they are, the last of them only once all are known to be right: whoever takes them never has
 * the whole of something else.
 * @param onBytes told how many have gone through
 * @param failure what is thrown when they are other bytes than the digest and the length say
 */
export async function* verifiedBytes(
  bytes: AsyncIterable<Uint8Array>,
  { digest, size }: { readonly digest: Digest; readonly size: number },
  onBytes: (sum: number) => void,
  failure: () => Error
): AsyncGenerator<Uint8Array> {
  const algorithm = digestAlgorithm(digest)
  const hash = createDigestHash(algorithm)
  let sum = 0
  let held: Uint8Array | undefined
  for await (const chunk of bytes) {
    hash.update(chunk)
    if (held !== undefined) {
      yield held
      sum += held.byteLength
      onBytes(sum)
    }
    if (sum + chunk.byteLength > size) throw failure()
    held = chunk
  }
  const whole = sum + (held?.byteLength ?? 0)
  if (whole !== size || digestOfHash(algorithm, hash.digest()) !== digest) throw failure()
  if (held !== undefined) yield held
  onBytes(whole)
}

import type { ByteRange, Digest } from '@layermesh/oci'
import { ContentError } from '../errors.ts'
import { readRange } from '../hashing/verified-pieces.ts'
import type { BlobReader, ReadOptions } from '../interfaces.ts'
import type { WholeBlob } from './whole-blob.ts'

/** Where whole blobs are. */
export interface WholeBlobs {
  /** The blob, open; the caller releases it. */
  acquire(digest: Digest): Promise<WholeBlob | undefined>
}

/** A reader of a blob that is wholly here; undefined when it isn't. It holds nothing open until it reads. */
export async function openWholeReader(catalog: WholeBlobs, digest: Digest): Promise<BlobReader | undefined> {
  const blob = await catalog.acquire(digest)
  if (blob === undefined) return undefined
  const { size } = blob
  blob.release()
  const read: BlobReader['read'] = (range, signal, options) => readWholeBlob(catalog, digest, range, signal, options)
  return { digest, size, complete: true, read }
}

/** @throws {ContentError} BLOB_GONE, BLOB_CORRUPT */
export async function* readWholeBlob(
  catalog: WholeBlobs,
  digest: Digest,
  range: ByteRange,
  signal?: AbortSignal,
  options?: ReadOptions
): AsyncGenerator<Uint8Array> {
  const blob = await catalog.acquire(digest)
  if (blob === undefined) throw new ContentError('BLOB_GONE', `${digest} is no longer here`)
  try {
    yield* readRange(blob, range, signal, options)
  } finally {
    blob.release()
  }
}

import type { BlobReader } from '@layermesh/content'
import type { BlobRequest } from '@layermesh/mesh'
import type { Digest } from '@layermesh/oci'

/** How a pull was answered: from the store, from peers, from another registry, not at all, or with a failure. */
export type PullResult = 'hit' | 'mesh' | 'upstream' | 'miss' | 'error'

/** Brings a blob from peers; undefined when nobody has it. */
export type FetchFromMesh = (
  digest: Digest,
  request: BlobRequest,
  signal: AbortSignal
) => Promise<BlobReader | undefined>

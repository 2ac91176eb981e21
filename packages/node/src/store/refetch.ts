import type { BlobReader, BlobStat, ContentStore } from '@layermesh/content'
import type { Repository } from '@layermesh/oci'
import type { FetchFromMesh } from '../backend/pulls.ts'
import type { MirroredBlobs } from '../mirror/mirrored-blobs.ts'
import type { MirroredManifests } from '../mirror/mirrored-manifests.ts'

export interface RefetchComponents {
  readonly content: Pick<ContentStore, 'blobs' | 'repositories'>
  readonly fetch: FetchFromMesh
  /** Undefined when no other registry is mirrored. */
  readonly mirrored:
    | {
        readonly blobs: Pick<MirroredBlobs, 'covers' | 'open'>
        readonly manifests: Pick<MirroredManifests, 'find'>
      }
    | undefined
}

/** Repositories that are asked about a blob. */
const MAX_REPOSITORIES = 2

/**
 * Brings a blob that was here already from whoever has it: peers, or the registry that a repository which shows it is
 * mirrored from. Undefined when nobody has it.
 */
export async function refetch(
  { content, fetch, mirrored }: RefetchComponents,
  { digest, size }: BlobStat,
  signal: AbortSignal
): Promise<BlobReader | undefined> {
  let repository: Repository | undefined
  for (let asked = 0; asked < MAX_REPOSITORIES; asked++) {
    repository = await content.repositories.findBlob(digest, repository)
    if (repository === undefined) break
    if (!mirrored?.blobs.covers(repository)) continue
    const isManifest = (await content.repositories.manifest(repository, digest)) !== undefined
    if (!isManifest) return await mirrored.blobs.open(repository, digest, signal)
    await mirrored.manifests.find(repository, digest, signal)
    return await content.blobs.open(digest, { use: false })
  }
  return await fetch(digest, { size }, signal)
}

import type { Descriptor, Digest, Repository, Tag } from '@layermesh/oci'
import { CliFailure } from '../failure.ts'
import type { OpenArchive } from './open-archive.ts'
import type { PlannedRepository } from './plan-import.ts'
import type { RegistryApi } from './registry-api.ts'
import { verifiedBytes } from './verified-bytes.ts'

/** A part of an image that is on its way. */
export interface PartProgress {
  readonly digest: Digest
  readonly size: number
  readonly heldBytes: number
}

/** An image that is in the mesh now. */
export interface ImportedImage {
  readonly repository: Repository
  readonly tag: Tag
  readonly digest: Digest
}

export interface ImportComponents {
  readonly archive: OpenArchive
  readonly registry: RegistryApi
  onProgress(progress: PartProgress): void
}

/**
 * Pushes images as any client does: blobs first, then what names them, tags at last, so that an import that ends early
 * leaves no tag that is not whole. What is there already is not sent again.
 * @throws {CliFailure}
 */
export async function importImages(
  { archive, registry, onProgress }: ImportComponents,
  plan: readonly PlannedRepository[]
): Promise<ImportedImage[]> {
  const placed = new Map<Digest, Repository>()
  const imported: ImportedImage[] = []
  for (const { repository, blobs, manifests } of plan) {
    const missing: Descriptor[] = []
    for (const blob of blobs) {
      const isThere = await isPlaced(registry, repository, blob, placed)
      if (!isThere) missing.push(blob)
      onProgress({ digest: blob.digest, size: blob.size, heldBytes: isThere ? blob.size : 0 })
    }
    await pushBlobs({ archive, registry, onProgress }, repository, missing)
    for (const { digest } of blobs) placed.set(digest, repository)
    for (const { digest, tags } of manifests) {
      for (const tag of tags.length === 0 ? [undefined] : tags) {
        await pushManifest({ archive, registry, onProgress }, { repository, blobs }, digest, tag)
        if (tag !== undefined) imported.push({ repository, tag, digest })
      }
    }
  }
  return imported
}

/** A registry that mirrors another one may have said of a blob that it is there, since the other has it: it gets it then. */
async function pushManifest(
  components: ImportComponents,
  { repository, blobs }: Pick<PlannedRepository, 'repository' | 'blobs'>,
  digest: Digest,
  tag: Tag | undefined
): Promise<void> {
  const { archive, registry } = components
  const loaded = archive.manifests.get(digest)
  if (loaded === undefined) throw new CliFailure('FAILED', `the archive holds no manifest ${digest}`)
  const manifest = { digest, mediaType: loaded.manifest.mediaType, bytes: loaded.bytes }
  const missing = new Set(await registry.pushManifest(repository, manifest, tag))
  if (missing.size === 0) return
  await pushBlobs(
    components,
    repository,
    blobs.filter((blob) => missing.has(blob.digest))
  )
  const [still] = await registry.pushManifest(repository, manifest, tag)
  if (still !== undefined) throw new CliFailure('FAILED', `the registry says that ${repository} lacks ${still}`)
}

async function isPlaced(
  registry: RegistryApi,
  repository: Repository,
  { digest }: Descriptor,
  placed: ReadonlyMap<Digest, Repository>
): Promise<boolean> {
  if (await registry.hasBlob(repository, digest)) return true
  const elsewhere = placed.get(digest)
  return elsewhere !== undefined && (await registry.mountBlob(repository, digest, elsewhere))
}

async function pushBlobs(
  { archive, registry, onProgress }: ImportComponents,
  repository: Repository,
  blobs: readonly Descriptor[]
): Promise<void> {
  const byFile = new Map(blobs.map((blob) => [archive.fileOf(blob.digest), blob]))
  for (const [file, { digest, size }] of byFile) {
    const found = await archive.files.stat(file)
    if (found === undefined)
      throw new CliFailure('FAILED', `the archive does not hold ${digest}, which its manifest names`)
    if (found.size !== size)
      throw new CliFailure('FAILED', `the archive is broken: ${file} has ${found.size} bytes, not ${size}`)
  }
  await archive.files.stream(new Set(byFile.keys()), async (file, size, bytes) => {
    const { digest } = byFile.get(file) as Descriptor
    const told = (heldBytes: number) => onProgress({ digest, size, heldBytes })
    const broken = () =>
      new CliFailure('FAILED', `the archive is broken: ${file} holds other bytes than its digest says`)
    await registry.pushBlob(repository, digest, size, verifiedBytes(bytes, { digest, size }, told, broken))
  })
}

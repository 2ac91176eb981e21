import type { ContentStore, ManifestEntry } from '@layermesh/content'
import { type Digest, type Manifest, type Repository, referencedDescriptors, referrerOf } from '@layermesh/oci'

/** Puts a manifest whose bytes are in the store into a repository, and links what it names. */
export async function keepManifest(
  content: ContentStore,
  repository: Repository,
  digest: Digest,
  bytes: Uint8Array,
  manifest: Manifest
): Promise<void> {
  const referrer = referrerOf(manifest, digest, bytes.byteLength)
  const entry: ManifestEntry = {
    digest,
    mediaType: manifest.mediaType,
    size: bytes.byteLength,
    ...(manifest.subject === undefined ? {} : { subject: manifest.subject.digest }),
    ...(referrer.artifactType === undefined ? {} : { artifactType: referrer.artifactType }),
    ...(referrer.annotations === undefined ? {} : { annotations: referrer.annotations })
  }
  await content.repositories.putManifest(repository, entry, [
    digest,
    ...referencedDescriptors(manifest).map((descriptor) => descriptor.digest)
  ])
}

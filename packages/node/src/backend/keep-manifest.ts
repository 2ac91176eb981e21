import type { BlobReader, ContentStore, ManifestEntry } from '@layermesh/content'
import {
  type Digest,
  MAX_MANIFEST_BYTES,
  type Manifest,
  namedDescriptors,
  OciError,
  parseManifest,
  type Repository,
  referencedDescriptors,
  referrerOf
} from '@layermesh/oci'
import type { StoredManifest } from '@layermesh/registry'
import { readWhole } from './resuming-blob.ts'

/**
 * Puts a manifest whose bytes are in the store into a repository, and links what it names.
 * @param links false links the manifest alone: its word is no proof that what it names is in the repository
 */
export async function keepManifest(
  content: ContentStore,
  repository: Repository,
  digest: Digest,
  bytes: Uint8Array,
  manifest: Manifest,
  links = true
): Promise<void> {
  const referrer = referrerOf(manifest, digest, bytes.byteLength)
  const entry: ManifestEntry = {
    digest,
    mediaType: manifest.mediaType,
    size: bytes.byteLength,
    ...(manifest.subject === undefined ? {} : { subject: manifest.subject.digest }),
    ...(referrer.artifactType === undefined ? {} : { artifactType: referrer.artifactType }),
    ...(referrer.annotations === undefined ? {} : { annotations: referrer.annotations }),
    at: Date.now()
  }
  await content.repositories.putManifest(
    repository,
    entry,
    [digest, ...(links ? referencedDescriptors(manifest).map((descriptor) => descriptor.digest) : [])],
    namedDescriptors(manifest).map((descriptor) => descriptor.digest)
  )
}

/**
 * Reads a manifest that came from the mesh, and puts it into the repository that it was asked for in.
 * @param expect tells the mesh that whoever holds `like` holds these too, most likely
 * @param links as for {@link keepManifest}
 * @returns undefined when it is no manifest
 */
export async function keepFetched(
  content: ContentStore,
  repository: Repository,
  reader: BlobReader,
  expect: (digests: readonly Digest[], like: Digest) => void,
  signal: AbortSignal,
  links = true
): Promise<StoredManifest | undefined> {
  const { digest } = reader
  const bytes = await readWhole(reader, MAX_MANIFEST_BYTES, signal)
  const manifest = parseFetched(bytes)
  if (!manifest) return undefined
  await keepManifest(content, repository, digest, bytes, manifest, links)
  expect(
    referencedDescriptors(manifest).map((descriptor) => descriptor.digest),
    digest
  )
  return { digest, mediaType: manifest.mediaType, bytes }
}

/** A blob that was asked for as a manifest but is none: there is no such manifest. */
function parseFetched(bytes: Uint8Array): Manifest | undefined {
  try {
    return parseManifest(bytes)
  } catch (error) {
    if (error instanceof OciError) return undefined
    throw error
  }
}

import {
  type Descriptor,
  type Digest,
  digestAlgorithm,
  digestHex,
  digestOf,
  isManifestType,
  isOciError,
  MAX_MANIFEST_BYTES,
  type Manifest,
  parseManifest
} from '@layermesh/oci'
import { CliFailure } from '../failure.ts'
import type { ImageFiles } from './image-files.ts'

/** One image of an archive. */
export interface ArchivedImage {
  /** Of its manifest or index. */
  readonly digest: Digest
  /** References as mesh names, such as `team/app:1` or `docker.io/library/nginx:1.27`. */
  readonly names: readonly string[]
  /** Tags that stand there without a name. */
  readonly tags: readonly string[]
}

/** What is about an image, such as a signature. */
export interface ArchivedReferrer {
  readonly digest: Digest
  readonly subject: Digest
  /** The tag by which clients find it that know no referrers API (distribution-spec §Referrers Tag Schema; cosign). */
  readonly tag?: string
}

export interface LoadedManifest {
  readonly bytes: Uint8Array
  readonly mediaType: string
  readonly manifest: Manifest
}

/** All that an archive holds. */
export interface ArchivedImages {
  readonly images: readonly ArchivedImage[]
  readonly referrers: readonly ArchivedReferrer[]
  /** Those of all images and referrers, as far as they are there. */
  readonly manifests: ReadonlyMap<Digest, LoadedManifest>
  /** The file of a blob. */
  fileOf(digest: Digest): string
}

const MAX_MANIFESTS = 10_000
const MAX_MANIFEST_TOTAL_BYTES = 256 * 1024 * 1024

/** The file of a blob in an OCI layout (image-spec §Image Layout, blobs). */
export function blobFile(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`
}

/** The manifests of an OCI layout, each read once and checked. */
export class LayoutManifests {
  readonly loaded = new Map<Digest, LoadedManifest>()
  readonly #files: ImageFiles
  #bytes = 0

  constructor(files: ImageFiles) {
    this.#files = files
  }

  /** Reads a manifest and, of an index, all below it that are there. Undefined when it is not there. @throws {CliFailure} */
  async load({ digest, mediaType }: Pick<Descriptor, 'digest' | 'mediaType'>): Promise<LoadedManifest | undefined> {
    const known = this.loaded.get(digest)
    if (known !== undefined) return known
    const bytes = await this.#files.read(blobFile(digest), MAX_MANIFEST_BYTES)
    if (bytes === undefined) return undefined
    this.#bytes += bytes.byteLength
    if (this.loaded.size >= MAX_MANIFESTS || this.#bytes > MAX_MANIFEST_TOTAL_BYTES) {
      throw new CliFailure('FAILED', 'the archive holds more manifests than can be imported at once')
    }
    if (digestOf(bytes, digestAlgorithm(digest)) !== digest) {
      throw new CliFailure('FAILED', `the archive is broken: ${blobFile(digest)} holds other bytes than its name says`)
    }
    const loaded = { bytes, mediaType, manifest: readManifest(bytes, mediaType, digest) }
    this.loaded.set(digest, loaded)
    if (loaded.manifest.kind === 'index') {
      for (const child of loaded.manifest.manifests) if (isManifestType(child.mediaType)) await this.load(child)
    }
    return loaded
  }
}

function readManifest(bytes: Uint8Array, mediaType: string, name: string): Manifest {
  try {
    return parseManifest(bytes, mediaType)
  } catch (error) {
    if (!isOciError(error)) throw error
    throw new CliFailure('FAILED', `the manifest ${name} of the archive can not be used: ${error.message}`, {
      cause: error
    })
  }
}

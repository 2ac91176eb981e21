import {
  type Descriptor,
  type Digest,
  formatPlatform,
  type ImageReference,
  isPlatform,
  type Manifest,
  MEDIA_TYPE,
  type Platform,
  parseManifest,
  type Repository,
  referencedDescriptors,
  type Tag
} from '@layermesh/oci'
import { CliFailure } from '../failure.ts'
import type { ArchiveSink } from './archive-sink.ts'
import { blobFile } from './archived-images.ts'
import { DOCKER_MANIFEST_FILE } from './docker-archive.ts'
import type { PartProgress } from './import-images.ts'
import { CONTAINERD_NAME, INDEX_FILE, LAYOUT_FILE, LAYOUT_VERSION, REF_NAME } from './oci-archive.ts'
import type { FetchedManifest, RegistryApi } from './registry-api.ts'
import { verifiedBytes } from './verified-bytes.ts'

/** An image that goes into an archive. */
export interface ExportRequest {
  readonly reference: ImageReference
  /** What the archive calls it, with its tag; undefined for an image that was named by its digest alone. */
  readonly name: string | undefined
}

export interface ExportOptions {
  /** `docker`: `docker load` takes it, of each image for one platform. */
  readonly format: 'oci' | 'docker'
  /** Which image out of an index; without it, all of them under their index. */
  readonly platform?: Platform
  /** Whether what is about the images comes too. */
  readonly referrers: boolean
}

export interface ExportComponents {
  readonly registry: RegistryApi
  readonly sink: ArchiveSink
  onProgress(progress: PartProgress): void
}

/** What was written. */
export interface ExportedImage {
  readonly name: string | undefined
  readonly digest: Digest
}

/**
 * Writes images into an archive: an OCI layout, for `docker` with what `docker load` reads besides. The same images make
 * the same bytes.
 * @throws {CliFailure}
 */
export async function exportImages(
  { registry, sink, onProgress }: ExportComponents,
  requests: readonly ExportRequest[],
  options: ExportOptions
): Promise<ExportedImage[]> {
  const collection = new Collection(registry, options)
  for (const request of requests) await collection.addImage(request)
  if (options.referrers) await collection.addReferrers()
  const files = collection.metadata()
  for (const [name, bytes] of files) await sink.add(name, bytes.byteLength, bytes)
  for (const { digest, size, repository, bytes } of collection.blobs()) {
    onProgress({ digest, size, heldBytes: 0 })
    const content = bytes ?? (await registry.blob(repository, digest))
    const told = (heldBytes: number) => onProgress({ digest, size, heldBytes })
    const wrong = () => new CliFailure('FAILED', `the registry gave other bytes as ${digest}; nothing was written`)
    await sink.add(blobFile(digest), size, verifiedBytes(content, { digest, size }, told, wrong))
  }
  return collection.images.map(({ name, root }) => ({ name, digest: root.digest }))
}

interface CollectedBlob {
  readonly digest: Digest
  readonly size: number
  readonly repository: Repository
  /** Of a manifest, which is here already. */
  readonly bytes?: AsyncIterable<Uint8Array>
}

interface CollectedImage {
  readonly name: string | undefined
  readonly root: FetchedManifest
  readonly manifest: Manifest
}

/** What goes into the archive: known before the first byte is written. */
class Collection {
  readonly images: CollectedImage[] = []
  readonly #registry: RegistryApi
  readonly #options: ExportOptions
  readonly #referrers = new Map<Digest, FetchedManifest>()
  readonly #manifests = new Map<Digest, { readonly fetched: FetchedManifest; readonly repository: Repository }>()
  readonly #blobs = new Map<Digest, CollectedBlob>()

  constructor(registry: RegistryApi, options: ExportOptions) {
    this.#registry = registry
    this.#options = options
  }

  async addImage({ reference: { repository, tag, digest }, name }: ExportRequest): Promise<void> {
    const fetched = await this.#registry.manifest(repository, (digest ?? tag) as Digest | Tag)
    const root = await this.#chosen(repository, fetched)
    const manifest = await this.#add(repository, root)
    if (this.#options.format === 'docker') requireImage(manifest, name ?? root.digest)
    this.images.push({ name, root, manifest })
  }

  /** What is about the images, and what is about that. */
  async addReferrers(): Promise<void> {
    for (const [subject, { repository }] of this.#manifests) {
      // The map grows while it is gone through, and so what is about a signature comes too.
      for (const digest of (await this.#registry.referrers(repository, subject)).sort()) {
        if (this.#manifests.has(digest)) continue
        const referrer = await this.#registry.manifest(repository, digest)
        this.#referrers.set(digest, referrer)
        await this.#add(repository, referrer)
      }
    }
  }

  /** The files that say what the others are, by name. */
  metadata(): [name: string, bytes: Uint8Array][] {
    const named = this.images.map(({ root, name }) => ({ ...describe(root), ...annotationsOf(name) }))
    const index = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociIndex,
      manifests: [...named, ...[...this.#referrers.values()].map(describe)]
    }
    const files: [string, unknown][] = [
      [LAYOUT_FILE, { imageLayoutVersion: LAYOUT_VERSION }],
      [INDEX_FILE, index]
    ]
    if (this.#options.format === 'docker') files.push([DOCKER_MANIFEST_FILE, this.images.map(dockerEntry)])
    return files.map(([name, value]) => [name, Buffer.from(JSON.stringify(value))])
  }

  blobs(): CollectedBlob[] {
    const manifests = [...this.#manifests].map(([digest, { fetched, repository }]) => ({
      digest,
      size: fetched.bytes.byteLength,
      repository,
      bytes: once(fetched.bytes)
    }))
    return [...manifests, ...this.#blobs.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1))
  }

  async #chosen(repository: Repository, fetched: FetchedManifest): Promise<FetchedManifest> {
    const { platform } = this.#options
    const manifest = parseManifest(fetched.bytes, fetched.mediaType)
    if (platform === undefined || manifest.kind === 'image') return fetched
    const child = manifest.manifests.find((one) => isPlatform(one.platform, platform))
    if (child !== undefined) return await this.#registry.manifest(repository, child.digest)
    const there = manifest.manifests.flatMap((one) => (one.platform === undefined ? [] : formatPlatform(one.platform)))
    throw new CliFailure(
      'FAILED',
      `${repository} is not there for ${formatPlatform(platform)}, but for ${there.join(', ')}; see --platform`
    )
  }

  async #add(repository: Repository, fetched: FetchedManifest): Promise<Manifest> {
    const manifest = parseManifest(fetched.bytes, fetched.mediaType)
    if (this.#manifests.has(fetched.digest)) return manifest
    this.#manifests.set(fetched.digest, { fetched, repository })
    for (const part of referencedDescriptors(manifest)) {
      if (manifest.kind === 'index') await this.#add(repository, await this.#registry.manifest(repository, part.digest))
      else this.#blobs.set(part.digest, { digest: part.digest, size: part.size, repository })
    }
    return manifest
  }
}

function describe({ digest, mediaType, bytes }: FetchedManifest): Descriptor {
  return { mediaType, digest, size: bytes.byteLength }
}

/**
 * A whole name for programs that take one, and for containerd in the form that it knows, in which short names are Docker
 * Hub's.
 */
function annotationsOf(name: string | undefined) {
  if (name === undefined) return {}
  const first = name.slice(0, Math.max(name.indexOf('/'), 0))
  const isShort = first !== 'localhost' && !/[.:]/.test(first)
  const whole = isShort ? `docker.io/${name.includes('/') ? name : `library/${name}`}` : name
  return { annotations: { [CONTAINERD_NAME]: whole, [REF_NAME]: name } }
}

function dockerEntry({ name, manifest }: CollectedImage) {
  if (manifest.kind !== 'image') throw new TypeError('an index has no layers')
  return {
    Config: blobFile(manifest.config.digest),
    RepoTags: name === undefined ? null : [name],
    Layers: manifest.layers.map(({ digest }) => blobFile(digest))
  }
}

const IMAGE_CONFIGS: ReadonlySet<string> = new Set([
  MEDIA_TYPE.ociConfig,
  'application/vnd.docker.container.image.v1+json'
])

function requireImage(manifest: Manifest, name: string): void {
  if (manifest.kind === 'image' && IMAGE_CONFIGS.has(manifest.config.mediaType)) return
  throw new CliFailure('FAILED', `${name} is no image that docker load takes; export it with --format oci`)
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

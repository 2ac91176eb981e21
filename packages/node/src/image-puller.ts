import type { BlobReader, ContentStore } from '@layermesh/content'
import type { TransferSource, TransferSummary } from '@layermesh/mesh'
import {
  type Descriptor,
  type Digest,
  formatPlatform,
  type ImageReference,
  isManifestType,
  isPlatform,
  OciError,
  type Platform,
  parseManifest,
  type Repository,
  referencedDescriptors
} from '@layermesh/oci'
import type { RegistryManifests, RegistryTags, StoredManifest } from '@layermesh/registry'
import PQueue from 'p-queue'
import type { PullProgress, PullResult } from './admin/view.ts'
import { unknownImage } from './unknown-image.ts'

export interface ImagePullerComponents {
  readonly content: ContentStore
  readonly tags: RegistryTags
  readonly manifests: RegistryManifests
  /** Brings a blob that a manifest of the repository names. */
  fetch(repository: Repository, digest: Digest, size: number, signal: AbortSignal): Promise<BlobReader | undefined>
  /** How far a blob is, or how it came if that was not long ago. */
  transferOf(digest: Digest): TransferSummary | undefined
  /** The platform of this host, whose images are brought out of an index when no other one is asked for. */
  readonly platform: Platform
}

/** Which images are brought out of an index; undefined: that of this host, and all of them when none says that it is. */
export type WantedPlatform = Platform | 'all' | undefined

type OnProgress = (progress: PullProgress) => void

const BLOBS_AT_ONCE = 3
const PROGRESS_EVERY_MS = 200
const MAX_INDEX_DEPTH = 4

/** Brings whole images into this node: the manifest, of an index that of this host's platform, and all that it names. */
export class ImagePuller {
  readonly #components: ImagePullerComponents

  constructor(components: ImagePullerComponents) {
    this.#components = components
  }

  /** @throws {OciError} MANIFEST_UNKNOWN, BLOB_UNKNOWN */
  async pull(
    reference: ImageReference,
    onProgress: OnProgress,
    signal: AbortSignal,
    platform?: WantedPlatform
  ): Promise<PullResult> {
    const { repository, tag } = reference
    const digest = reference.digest ?? (await this.resolve(reference, signal))
    const pull = new OnePull(this.#components, repository, { onProgress, signal, platform })
    const manifest = await pull.manifest(digest, 0)
    return {
      repository,
      digest,
      mediaType: manifest.mediaType,
      size: pull.size,
      receivedBytes: pull.receivedBytes,
      sources: pull.sources,
      ...(tag === undefined ? {} : { tag })
    }
  }

  private async resolve(reference: ImageReference, signal: AbortSignal): Promise<Digest> {
    const { repository, tag } = reference
    const resolved = tag && (await this.#components.tags.resolve(repository, tag, signal))
    if (!resolved) throw unknownImage(reference)
    return resolved.digest
  }
}

class OnePull {
  size = 0
  receivedBytes = 0
  readonly #components: ImagePullerComponents
  readonly #repository: Repository
  readonly #onProgress: OnProgress
  readonly #signal: AbortSignal
  readonly #platform: WantedPlatform
  readonly #sources = new Map<string, TransferSource>()

  constructor(
    components: ImagePullerComponents,
    repository: Repository,
    {
      onProgress,
      signal,
      platform
    }: { readonly onProgress: OnProgress; readonly signal: AbortSignal; readonly platform: WantedPlatform }
  ) {
    this.#components = components
    this.#repository = repository
    this.#platform = platform
    this.#onProgress = onProgress
    this.#signal = signal
  }

  get sources(): TransferSource[] {
    return [...this.#sources.values()]
  }

  async manifest(digest: Digest, depth: number): Promise<StoredManifest> {
    const here = (await this.#components.content.blobs.stat(digest)) !== undefined
    const manifest = await this.#components.manifests.get(this.#repository, digest, this.#signal)
    if (!manifest) throw new OciError('MANIFEST_UNKNOWN', `nobody has the manifest ${digest} of ${this.#repository}`)
    const size = manifest.bytes.byteLength
    this.size += size
    if (!here) this.receivedBytes += size
    this.#onProgress({ digest, mediaType: manifest.mediaType, size, heldBytes: size, sources: [] })
    const parsed = parseManifest(manifest.bytes, manifest.mediaType)
    if (parsed.kind === 'image') await this.blobs(referencedDescriptors(parsed))
    else if (depth < MAX_INDEX_DEPTH)
      for (const child of this.wantedOf(parsed.manifests)) await this.manifest(child.digest, depth + 1)
    return manifest
  }

  /** @throws {OciError} MANIFEST_UNKNOWN when there is none for a platform that was asked for */
  private wantedOf(children: readonly Descriptor[]): readonly Descriptor[] {
    const manifests = children.filter((child) => isManifestType(child.mediaType))
    if (this.#platform === 'all') return manifests
    const wanted = this.#platform ?? this.#components.platform
    const matching = manifests.filter(({ platform }) => isPlatform(platform, wanted))
    if (matching.length > 0) return matching
    if (this.#platform === undefined) return manifests
    throw new OciError('MANIFEST_UNKNOWN', `the image is not there for ${formatPlatform(wanted)}`)
  }

  private async blobs(descriptors: readonly Descriptor[]): Promise<void> {
    // All that is to come is told of before any of it comes, so that whoever watches knows how much it is.
    for (const { digest, mediaType, size } of descriptors) {
      const here = (await this.#components.content.blobs.stat(digest)) !== undefined
      this.#onProgress({ digest, mediaType, size, heldBytes: here ? size : 0, sources: [] })
    }
    const queue = new PQueue({ concurrency: BLOBS_AT_ONCE })
    await queue.addAll(descriptors.map((descriptor) => () => this.blob(descriptor)))
  }

  private async blob({ digest, mediaType, size }: Descriptor): Promise<void> {
    const { content, fetch } = this.#components
    this.size += size
    const reader = await fetch(this.#repository, digest, size, this.#signal)
    if (!reader)
      throw new OciError('BLOB_UNKNOWN', `nobody has ${digest}, which a manifest of ${this.#repository} names`)
    if (!reader.complete) {
      const sources = await this.watch(digest, mediaType, size, content.downloads.whole(digest, this.#signal))
      this.receivedBytes += size
      for (const source of sources) this.count(source)
      this.#onProgress({ digest, mediaType, size, heldBytes: size, sources })
    } else this.#onProgress({ digest, mediaType, size, heldBytes: size, sources: [] })
  }

  private count(source: TransferSource): void {
    const name = 'origin' in source ? source.origin : source.peerId
    this.#sources.set(name, { ...source, bytes: source.bytes + (this.#sources.get(name)?.bytes ?? 0) })
  }

  /** Tells how far the blob is until it is whole. @returns who brought it */
  private async watch(
    digest: Digest,
    mediaType: string,
    size: number,
    whole: Promise<unknown>
  ): Promise<readonly TransferSource[]> {
    let sources: readonly TransferSource[] = []
    const look = () => {
      const transfer = this.#components.transferOf(digest)
      if (!transfer) return
      sources = transfer.sources
      this.#onProgress({ digest, mediaType, size, heldBytes: transfer.heldBytes, sources })
    }
    const timer = setInterval(look, PROGRESS_EVERY_MS)
    try {
      look()
      await whole
      look()
      return sources
    } finally {
      clearInterval(timer)
    }
  }
}

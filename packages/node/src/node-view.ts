import { statfs } from 'node:fs/promises'
import type { ContentStore } from '@layermesh/content'
import type { Mesh, PeerSummary, TransferSummary } from '@layermesh/mesh'
import {
  type Digest,
  type ImageReference,
  MAX_MANIFEST_BYTES,
  parseManifest,
  referencedDescriptors
} from '@layermesh/oci'
import type { ImageSummary, NodeStatus, NodeView, PullProgress, PullResult } from './admin/view.ts'
import { readWhole } from './backend/resuming-blob.ts'
import type { NodeConfig } from './config/node-config.ts'
import type { ImagePuller } from './image-puller.ts'
import type { AcceptedTag, TagRecords } from './tags/tag-records.ts'
import { VERSION } from './version.ts'

export interface LiveViewComponents {
  readonly config: NodeConfig
  readonly content: ContentStore
  readonly mesh: Mesh
  readonly records: TagRecords
  readonly puller: ImagePuller
  readonly registryUrl: string
  readonly mirrorUrl: string | undefined
}

const SPACE_EVERY_MS = 10_000
const READ_DEADLINE_MS = 10_000

/** What the admin API tells of a running node. */
export class LiveView implements NodeView {
  readonly #components: LiveViewComponents
  readonly #startedAt = new Date().toISOString()
  #freeBytes: number | undefined
  #pinnedBytes = 0
  #spaceTimer: NodeJS.Timeout | undefined

  constructor(components: LiveViewComponents) {
    this.#components = components
  }

  async start(): Promise<void> {
    await this.readSpace()
    this.#spaceTimer = setInterval(() => void this.readSpace(), SPACE_EVERY_MS)
    this.#spaceTimer.unref()
  }

  stop(): void {
    clearInterval(this.#spaceTimer)
  }

  status(): NodeStatus {
    const { config, content, mesh, registryUrl, mirrorUrl } = this.#components
    const { limitBytes, minFreeBytes, full } = content.space()
    const notReady = this.notReady()
    return {
      peerId: mesh.peerId,
      role: config.role,
      zone: config.zone,
      version: VERSION,
      startedAt: this.#startedAt,
      meshAddresses: mesh.addresses,
      registry: registryUrl,
      ...(mirrorUrl === undefined ? {} : { mirror: mirrorUrl }),
      peers: mesh.connected().length,
      store: {
        blobs: content.blobs.count(),
        bytes: content.blobs.usedBytes(),
        arriving: content.downloads.list().length,
        ...(this.#freeBytes === undefined ? {} : { freeBytes: this.#freeBytes }),
        ...(limitBytes === undefined ? {} : { limitBytes }),
        minFreeBytes,
        pinnedBytes: this.#pinnedBytes,
        full
      },
      ready: notReady.length === 0,
      notReady
    }
  }

  peers(): readonly PeerSummary[] {
    return this.#components.mesh.peers()
  }

  transfers(): readonly TransferSummary[] {
    return this.#components.mesh.transfers()
  }

  async images(): Promise<readonly ImageSummary[]> {
    const images: ImageSummary[] = []
    for await (const { repository, tag, digest } of this.#components.content.tags.all()) {
      const accepted = digest && (await this.#components.records.get(repository, tag))
      if (accepted) images.push(await this.image(accepted, digest))
    }
    return images
  }

  pull(
    reference: ImageReference,
    onProgress: (progress: PullProgress) => void,
    signal: AbortSignal
  ): Promise<PullResult> {
    return this.#components.puller.pull(reference, onProgress, signal)
  }

  /** A node that was told whom to join serves clients well only once it has; a lone node is ready at once. */
  private notReady(): string[] {
    const { config, mesh } = this.#components
    const alone = config.mesh.join.length > 0 && mesh.connected().length === 0
    return alone ? ['no peer is connected yet; the log says which join addresses can not be reached'] : []
  }

  private async image({ record, signer, confirmedAt }: AcceptedTag, digest: Digest): Promise<ImageSummary> {
    const parts = await this.parts(digest, new Set())
    return {
      repository: record.repository,
      tag: record.tag,
      digest,
      size: parts.size,
      signedBy: signer,
      sequence: record.sequence,
      confirmedAt: new Date(confirmedAt).toISOString(),
      complete: parts.complete
    }
  }

  /** Length of a manifest and all that it names, each counted once, and whether all of it is here. */
  private async parts(digest: Digest, seen: Set<Digest>): Promise<{ size: number; complete: boolean }> {
    const { content } = this.#components
    const reader = await content.blobs.open(digest, { use: false })
    if (!reader?.complete) return { size: 0, complete: false }
    const manifest = parseManifest(await readWhole(reader, MAX_MANIFEST_BYTES, AbortSignal.timeout(READ_DEADLINE_MS)))
    let { size } = reader
    let complete = true
    for (const part of referencedDescriptors(manifest)) {
      if (seen.has(part.digest)) continue
      seen.add(part.digest)
      const inner = manifest.kind === 'index' ? await this.parts(part.digest, seen) : undefined
      size += inner?.size || part.size
      complete &&= inner?.complete ?? (await content.blobs.stat(part.digest)) !== undefined
    }
    return { size, complete }
  }

  private async readSpace(): Promise<void> {
    const { config, content } = this.#components
    this.#pinnedBytes = await content.pins.bytes().catch(() => this.#pinnedBytes)
    const disk = await statfs(config.dataDir).catch(() => undefined)
    this.#freeBytes = disk && disk.bavail * disk.bsize
  }
}

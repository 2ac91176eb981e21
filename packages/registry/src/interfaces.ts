import type { ByteRange, Descriptor, Digest, Repository, Tag } from '@layermesh/oci'

/** A blob that can be read, perhaps while it is still arriving. */
export interface OpenBlob {
  readonly digest: Digest
  /** Length in bytes. */
  readonly size: number
  /** Yields the bytes in order. The memory of a chunk may be used again once the next one is asked for. */
  read(range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array>
}

export interface RegistryBlobs {
  /** Length of a blob that `repository` may show; undefined when it can't be had. */
  stat(repository: Repository, digest: Digest, signal: AbortSignal): Promise<number | undefined>
  open(repository: Repository, digest: Digest, signal: AbortSignal): Promise<OpenBlob | undefined>
  /** Links a blob of `from` (or of any repository when undefined) into `repository`. False when there is none. */
  mount(repository: Repository, digest: Digest, from: Repository | undefined): Promise<boolean>
  /** False when the repository has no such blob. */
  delete(repository: Repository, digest: Digest): Promise<boolean>
}

/** A manifest as it was pushed, byte for byte. */
export interface StoredManifest {
  readonly digest: Digest
  readonly mediaType: string
  readonly bytes: Uint8Array
}

export interface RegistryManifests {
  get(repository: Repository, digest: Digest, signal: AbortSignal): Promise<StoredManifest | undefined>
  /**
   * Keeps a manifest that was checked already, and has `tags` mean it. Durable when it resolves.
   * @throws {OciError} MANIFEST_BLOB_UNKNOWN when a blob or child manifest is missing, DENIED, UNAVAILABLE (no seed to sign)
   */
  put(repository: Repository, manifest: StoredManifest, tags: readonly Tag[], signal: AbortSignal): Promise<void>
  /** Removes the manifest and all tags that mean it. False when it is not here. @throws {OciError} UNAVAILABLE */
  delete(repository: Repository, digest: Digest, signal: AbortSignal): Promise<boolean>
  referrers(repository: Repository, subject: Digest, signal: AbortSignal): Promise<Descriptor[]>
}

/** What a tag means now. */
export interface ResolvedTag {
  readonly digest: Digest
  readonly mediaType: string
  readonly size: number
  /** Told to the client in a `Warning` header, such as that the answer is stale. */
  readonly warning?: string
}

export interface RegistryTags {
  resolve(repository: Repository, tag: Tag, signal: AbortSignal): Promise<ResolvedTag | undefined>
  /** False when there is no such tag. @throws {OciError} UNAVAILABLE (no seed to sign) */
  delete(repository: Repository, tag: Tag, signal: AbortSignal): Promise<boolean>
  /** Sorted; undefined when the repository is not known. */
  list(
    repository: Repository,
    page: { after?: string; limit: number },
    signal: AbortSignal
  ): Promise<string[] | undefined>
}

/** One push of a blob; the promises are those of `content`'s `Upload`. */
export interface UploadSession {
  readonly id: string
  readonly offset: number
  /** The memory of each of the `bytes` is used again once the next are asked for. */
  append(
    bytes: AsyncIterable<Uint8Array>,
    options: { start?: number; length?: number; signal: AbortSignal }
  ): Promise<number>
  commit(digest: Digest): Promise<{ size: number }>
  cancel(): Promise<void>
}

export interface RegistryUploads {
  create(repository: Repository): Promise<UploadSession>
  get(repository: Repository, id: string): Promise<UploadSession | undefined>
}

/** All that the HTTP API needs of the node behind it. */
export interface RegistryBackend {
  readonly blobs: RegistryBlobs
  readonly manifests: RegistryManifests
  readonly tags: RegistryTags
  readonly uploads: RegistryUploads
  /** Own repositories, sorted. */
  catalog(page: { after?: string; limit: number }, signal: AbortSignal): Promise<string[]>
}

/** What the registry tells of each answered request, for logs, metrics and, later, webhooks. */
export interface RegistryEvent {
  readonly action: 'pull' | 'push' | 'mount' | 'delete'
  readonly target: 'blob' | 'manifest' | 'tag'
  readonly repository: Repository
  /** Undefined for a chunk of a push, whose digest is not known yet, and for a tag that was deleted. */
  readonly digest?: Digest
  readonly tag?: string
  /** Payload bytes that this request itself sent to or took from the client. */
  readonly bytes: number
}

import type { PeerCertificate } from 'node:tls'
import type { ByteRange, Descriptor, Digest, Repository, Tag } from '@layermesh/oci'

/** What a caller may be allowed in a repository. create: push what is new; update: have an existing tag mean something else. */
export type RepositoryAction = 'pull' | 'create' | 'update' | 'delete'

/** A client, as far as it has proved who it is. */
export interface Caller {
  /** For logs, events and the history of tags; undefined for the anonymous. */
  readonly name: string | undefined
  /** By the rules as they are now. */
  may(action: RepositoryAction, repository: Repository): boolean
  /**
   * Whether it may not only because the token that it showed covers too little: it should ask for another one.
   * @default never
   */
  mayWithAnotherToken?(action: RepositoryAction, repository: Repository): boolean
  /**
   * Whether it may be told that a repository is there, in the list of all.
   * @default whether it may pull from it
   */
  maySee?(repository: Repository): boolean
  /**
   * What of the credential can be shown to a seed when a push is passed on, as the value of an Authorization header;
   * undefined when there is none.
   */
  readonly credential: string | undefined
}

/** What a client showed to prove who it is. */
export interface ClientProof {
  /** The header of this name, as it came. */
  readonly authorization: string | undefined
  /** Only when TLS has verified it. */
  readonly certificate: PeerCertificate | undefined
  /** The IP address that the client connects from. */
  readonly address: string
}

/** For what a client is asked to prove who it is. */
export interface ChallengeScope {
  readonly repository: Repository
  readonly actions: readonly RepositoryAction[]
}

/** Who may do what: all that the HTTP API knows of access control. */
export interface RegistryAccess {
  /**
   * Finds out who a client is; without any proof that is the anonymous.
   * @throws {OciError} UNAUTHORIZED for a wrong or expired credential; TOOMANYREQUESTS after too many wrong ones, whose
   *   `retryAfterMs` the client is told
   */
  identify(proof: ClientProof, signal: AbortSignal): Promise<Caller>
  /**
   * The value of `WWW-Authenticate` (RFC 9110 §11.6.1).
   * @param request where the client believes this registry to be: `host` is its Host header
   * @param scope undefined for `/v2/` itself
   */
  challenge(
    request: { readonly scheme: 'http' | 'https'; readonly host: string | undefined },
    scope: ChallengeScope | undefined,
    error?: 'invalid_token' | 'insufficient_scope'
  ): string
}

/** Whoever reaches a registry without access control. */
export const OPEN_CALLER: Caller = Object.freeze({ name: undefined, credential: undefined, may: () => true })

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
  mount(repository: Repository, digest: Digest, from: Repository | undefined, caller: Caller): Promise<boolean>
  /** False when the repository has no such blob. @throws {OciError} DENIED, UNAVAILABLE */
  delete(repository: Repository, digest: Digest, caller: Caller): Promise<boolean>
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
   * Keeps a manifest that was checked already, and has `tags` mean it. Durable when it resolves. Whether the caller's
   * rights to create and to update allow it is judged where the tags are signed, in one step with the change.
   * @throws {OciError} MANIFEST_BLOB_UNKNOWN when a blob or child manifest is missing, DENIED, UNAVAILABLE (no seed to sign)
   */
  put(
    repository: Repository,
    manifest: StoredManifest,
    tags: readonly Tag[],
    caller: Caller,
    signal: AbortSignal
  ): Promise<void>
  /** Removes the manifest and all tags that mean it. False when it is not here. @throws {OciError} DENIED, UNAVAILABLE */
  delete(repository: Repository, digest: Digest, caller: Caller, signal: AbortSignal): Promise<boolean>
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
  /** False when there is no such tag. @throws {OciError} DENIED, UNAVAILABLE (no seed to sign) */
  delete(repository: Repository, tag: Tag, caller: Caller, signal: AbortSignal): Promise<boolean>
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

/** What a client wants of another registry. */
export interface MirrorQuestion {
  readonly repository: Repository
  /** Undefined for lists. */
  readonly content: { readonly manifest: Tag | Digest } | { readonly blob: Digest } | undefined
  /**
   * The header of this name; undefined when the client sent none, and where access control takes it for a credential of
   * this registry, which must not be shown to another.
   */
  readonly authorization: string | undefined
}

/** Other registries, whose images can be pulled here. */
export interface RegistryMirrors {
  /** The registry that a repository is mirrored from; undefined for those that can be pushed to. */
  hostOf(repository: Repository): string | undefined
  /**
   * What a name that came without a registry may mean, besides one of the mesh's own repositories.
   * @returns undefined when it can be nothing else; `always` when it means this one in any case
   */
  alternative(own: Repository): { readonly repository: Repository; readonly always: boolean } | undefined
  /** Whether the mesh has a repository of its own by this name, or may have it. */
  hasOwn(own: Repository): Promise<boolean>
  /** Whether something of a mirrored repository was pulled here before. */
  wasPulled(repository: Repository): Promise<boolean>
  /** Whether a client may have something that this node may pull from another registry. */
  admits(question: MirrorQuestion): Promise<boolean>
}

/** All that the HTTP API needs of the node behind it. */
export interface RegistryBackend {
  /** Undefined when no other registry is mirrored. */
  readonly mirrors?: RegistryMirrors
  readonly blobs: RegistryBlobs
  readonly manifests: RegistryManifests
  readonly tags: RegistryTags
  readonly uploads: RegistryUploads
  /** Own repositories, sorted. */
  catalog(page: { after?: string; limit: number }, signal: AbortSignal): Promise<string[]>
}

/** What a request did. */
export interface RegistryActivity {
  readonly action: 'pull' | 'push' | 'mount' | 'delete'
  readonly target: 'blob' | 'manifest' | 'tag'
  readonly repository: Repository
  /** Undefined for a chunk of a push, whose digest is not known yet, and for a tag that was deleted. */
  readonly digest?: Digest
  readonly tag?: Tag
  /** Of manifests that were pulled or pushed. */
  readonly mediaType?: string
  /** Length of the whole blob or manifest in bytes, where it is known. */
  readonly size?: number
  /** Where a mounted blob came from, when the client named a repository. */
  readonly from?: Repository
  /** Payload bytes that this request itself sent to or took from the client. */
  readonly bytes: number
}

/** What the registry tells of each answered request, for logs, metrics and webhooks. */
export interface RegistryEvent extends RegistryActivity {
  /** Of the request, unique; a push of several tags makes several events of one id. */
  readonly id: string
  /** The name of the caller; undefined for the anonymous. */
  readonly actor: string | undefined
  readonly method: string
  /** The Host header. */
  readonly host: string | undefined
  readonly remoteAddress: string
  readonly userAgent: string | undefined
}

/** A request that was refused since whoever sent it may not do this. */
export interface RegistryRefusal {
  readonly id: string
  readonly action: RegistryActivity['action']
  readonly repository: Repository
  /** The tag or digest that it was about. */
  readonly reference?: string
  /** What the client was told. */
  readonly reason: string
  readonly actor: string | undefined
  readonly method: string
  readonly host: string | undefined
  readonly remoteAddress: string
  readonly userAgent: string | undefined
}

/** Who is told of what clients did. */
export interface RegistryListener {
  /**
   * Takes an event. The client of a push, mount or deletion gets its answer once this has resolved, and is told of a
   * failure when it rejects, so that what was acknowledged was recorded. Of pulls, and of chunks of a push, it is told
   * while or after they are answered, and nobody waits for it.
   */
  record(event: RegistryEvent): Promise<void>
  /**
   * Told of requests that were refused for want of rights. Not of those that were only asked to log in first, nor of
   * credentials that prove nothing, which {@link RegistryAccess} sees.
   */
  refused?(refusal: RegistryRefusal): void
}

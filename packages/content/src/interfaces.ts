import type { ByteRange, Descriptor, Digest, Repository, Tag } from '@layermesh/oci'

/** What is known of a blob that is wholly here. */
export interface BlobStat {
  readonly digest: Digest
  /** Length in bytes. */
  readonly size: number
}

/** Reads one blob, whole or still arriving. */
export interface BlobReader extends BlobStat {
  /** Whether the whole blob was here, verified, when it was opened. */
  readonly complete: boolean
  /**
   * Yields the bytes of `range` in order, in chunks of at most one piece, waiting for those that are in flight. Each
   * piece is verified after it was read from disk and before it is yielded.
   *
   * @throws {ContentError} BLOB_CORRUPT when the disk holds other bytes than were stored; the blob is then demoted to
   *   an unfinished download that lacks the bad pieces. DOWNLOAD_FAILED when the download behind it ended.
   */
  read(range: ByteRange, signal?: AbortSignal, options?: ReadOptions): AsyncIterable<Uint8Array>
}

/** What was found when a blob was read again. */
export interface BlobVerdict extends BlobStat {
  /** Whether its file was missing or of another length. */
  readonly isLost: boolean
  /** The pieces that the disk does not give back as they were stored. */
  readonly badPieces: readonly number[]
}

export interface ReadOptions {
  /**
   * True lets the reader use the memory of a chunk again once the consumer asks for the next one, which keeps it from
   * allocating as many bytes as it reads. Only for a consumer that is wholly done with a chunk by then: it was written
   * out, not merely handed to a stream. @default false
   */
  readonly reuseMemory?: boolean
}

export interface OpenOptions {
  /** False for those who only look after the store. @default true */
  readonly use?: boolean
}

/** The pieces of a blob: their common length and the SHA-256 of each. */
export interface PieceHashes {
  /** Length of every piece but the last, in bytes. */
  readonly pieceLength: number
  /** 32 bytes for each piece, one after the other. */
  readonly hashes: Uint8Array
}

/** Blobs that are wholly here. Nothing outside `content` may know that they are files. */
export interface BlobStore {
  stat(digest: Digest): Promise<BlobStat | undefined>
  /**
   * A reader of the blob if it is here or in flight. To open it is a use: unless told otherwise, the blob stays for the
   * length of a lease, and as long as it is read.
   */
  open(digest: Digest, options?: OpenOptions): Promise<BlobReader | undefined>
  /**
   * The bytes of `range`, verified, for a peer: of a whole blob, or of one in flight whose pieces are all here.
   * Undefined when some of them are not. `range` must lie in the blob and be no longer than one piece.
   * @param spare memory that may be used for them; the caller uses it no more
   */
  readAt(digest: Digest, range: ByteRange, spare?: ArrayBuffer): Promise<Uint8Array | undefined>
  /** The hashes of the pieces of a whole blob, computed while it was written. */
  pieceHashes(digest: Digest): Promise<PieceHashes | undefined>
  /** Keeps small content, such as a manifest; durable when it resolves. @throws {OciError} DIGEST_INVALID on other bytes */
  put(digest: Digest, bytes: Uint8Array): Promise<void>
  /** Removes a blob's bytes. Open readers may finish. Resolves false when it is not here. */
  delete(digest: Digest): Promise<boolean>
  /**
   * Reads all of a blob again and compares it with its digest, and each piece with what was stored. A blob that is not
   * right becomes an unfinished download that lacks the bad pieces. It is no use of the blob. Undefined when it is not wholly here.
   * @param pace called after so many bytes were read; reading goes on when it resolves. It may throw to end it
   */
  verify(digest: Digest, pace: (bytes: number) => Promise<void>): Promise<BlobVerdict | undefined>
  /** In the order of their digests, from after one on; at most `limit`. */
  list(page?: { readonly after?: Digest; readonly limit?: number }): AsyncIterable<BlobStat>
  /** How many blobs are wholly here. */
  count(): number
  /** Sum of the lengths of whole and partial blobs on disk, in bytes. */
  usedBytes(): number
}

/** A blob whose pieces are arriving. Its length is known. */
export interface PartialBlob extends BlobStat {
  readonly pieceLength: number
  readonly pieceCount: number
  /** Whether this piece is here, verified and readable. */
  has(piece: number): boolean
  /** How many pieces are here. */
  readonly heldPieces: number
  /** One bit for each piece, most significant bit first, 1 = here. A copy. */
  bitfield(): Uint8Array
  /**
   * Takes a piece in and resolves once it may be read. Another thread hashes it, and it must have its hash of
   * {@link BeginOptions.pieceHashes} or of {@link WriteOptions.hash}; without those, the caller knows it to be right.
   * Taking in one that is here already does nothing.
   * @returns memory of the same length, the caller's to use again; `bytes` unless their memory was given
   * @throws {ContentError} PIECE_MISMATCH, PIECE_LENGTH, DISK_FULL
   */
  write(piece: number, bytes: Uint8Array, options?: WriteOptions): Promise<Uint8Array>
  /** The SHA-256 of a piece that is here, computed when it came; undefined when it is not. A copy. */
  pieceHash(piece: number): Uint8Array | undefined
  /** The pieces that open readers wait for at this moment, lowest first; they steer what is asked next. */
  awaitedPieces(): number[]
  /** Calls `listener` after a reader began to wait for a piece that is not here. Returns a function that ends it. */
  onAwait(listener: (piece: number) => void): () => void
}

export interface WriteOptions {
  /**
   * True saves a copy: the memory of the bytes becomes the store's, and they are empty from then on. They should fill
   * their ArrayBuffer. When the piece is refused their memory does not come back. @default false
   */
  readonly giveMemory?: boolean
  /** The SHA-256 that the piece must have, when somebody vouches for this one. */
  readonly hash?: Uint8Array
}

/**
 * Where a download gets its blob. It runs once for each digest, however many readers wait.
 *
 * It brings the blob. Calls `begin` once as soon as the length is known, then writes each piece into what it returns
 * (pieces of an earlier attempt are there already), and returns true when all are written; returns false, without
 * having called `begin`, when it can't find the blob. Throws when it has to give up in the middle; what was written
 * is kept for the next attempt.
 */
export type BlobSource = (digest: Digest, begin: BeginDownload, signal: AbortSignal) => Promise<boolean>

export interface BeginOptions {
  /** Length of the blob in bytes. */
  readonly size: number
  /**
   * True lets readers have each piece as soon as it is written; false holds all of them back until the digest of the
   * whole blob was verified (when nobody trusted vouches for the pieces).
   */
  readonly cutThrough: boolean
  /**
   * True holds the last piece back from readers until the digest of the whole blob was verified, so that none of them
   * ever has all of a blob that is wrong: for pieces that come in by the word of whoever brings them. @default false
   */
  readonly lastAfterProof?: boolean
  /**
   * The SHA-256 of each piece, 32 bytes each, when somebody vouches for them: no other pieces are taken in, and those of
   * an earlier attempt that differ are dropped. Without them, a cut-through download keeps pieces of an earlier attempt
   * only if that was cut-through too.
   */
  readonly pieceHashes?: Uint8Array
}
export type BeginDownload = (options: BeginOptions) => Promise<PartialBlob>

/** Downloads: one for each digest, many readers behind it. */
export interface Downloads {
  /**
   * Resolves a reader of the blob: of the whole blob when it is here, else of the download of it that is running, else
   * of one that it starts from `source`. Undefined when the source can't find it. A download goes on when its readers
   * leave; closing the store ends it. `signal` ends only this wait.
   */
  fetch(digest: Digest, source: BlobSource, signal?: AbortSignal): Promise<BlobReader | undefined>
  /** Resolves once the blob is wholly here and verified. @throws {ContentError} DOWNLOAD_FAILED */
  whole(digest: Digest, signal?: AbortSignal): Promise<BlobStat>
  /** The blob in flight, for those who share its pieces while they arrive. Only a cut-through download may be shared. */
  inFlight(digest: Digest): PartialBlob | undefined
  /** All blobs in flight at this moment that may be shared. */
  list(): readonly PartialBlob[]
}

/** One push of a blob, distribution-spec §Pushing a blob in chunks. Survives a restart at its last durable offset. */
export interface Upload {
  readonly id: string
  readonly repository: Repository
  /** How many bytes are here. */
  readonly offset: number
  /**
   * Appends bytes and resolves with the new offset. With `start`, it must be the offset (else RANGE_INVALID, and
   * nothing changes); with `length`, exactly so many must come (else SIZE_INVALID, and the offset stays as it was).
   * One append at a time: a second is refused with RANGE_INVALID. A chunk is not looked at any more once the next is
   * asked for. When it is too large the session ends, and when there is no space for the first append.
   * @throws {OciError} RANGE_INVALID, SIZE_INVALID, BLOB_UPLOAD_INVALID (too large); {ContentError} DISK_FULL
   */
  append(
    bytes: AsyncIterable<Uint8Array>,
    options?: { start?: number; length?: number; signal?: AbortSignal }
  ): Promise<number>
  /** Makes the bytes a blob and links it in the repository; durable when it resolves. The session ends, also on a wrong digest. @throws {OciError} DIGEST_INVALID */
  commit(digest: Digest): Promise<BlobStat>
  cancel(): Promise<void>
}

export interface Uploads {
  /** @throws {OciError} TOOMANYREQUESTS when too many sessions are open */
  create(repository: Repository): Promise<Upload>
  /** The session with this id if it belongs to this repository. */
  get(repository: Repository, id: string): Promise<Upload | undefined>
}

/** A manifest in a repository; its bytes are a blob. */
export interface ManifestEntry {
  readonly digest: Digest
  readonly mediaType: string
  readonly size: number
  /** The manifest that this one refers to, with what the referrers API tells of it. */
  readonly subject?: Digest
  readonly artifactType?: string
  readonly annotations?: Readonly<Record<string, string>>
  /** When it was put here last, or meant by a tag that was forgotten, in ms since 1970; undefined when that is not known. */
  readonly at?: number
}

/** A page of a sorted list: at most `limit` names that sort after `after`. */
export interface PageRequest {
  readonly after?: string
  readonly limit: number
}

/** Which repositories there are and which blobs and manifests each may show. All changes are durable when they resolve. */
export interface Repositories {
  list(page: PageRequest): Promise<Repository[]>
  exists(repository: Repository): Promise<boolean>
  hasBlob(repository: Repository, digest: Digest): Promise<boolean>
  /**
   * Links a blob that is here in a repository for a client that will push a manifest with it, in one step. Resolves false
   * when it is not here.
   */
  mountBlob(repository: Repository, digest: Digest): Promise<boolean>
  /** Links blobs that are here, or on their way here, in a repository. */
  linkBlobs(repository: Repository, digests: readonly Digest[]): Promise<void>
  /** Resolves false when it was not linked. The bytes stay for others. */
  unlinkBlob(repository: Repository, digest: Digest): Promise<boolean>
  /** Some repository that has this blob linked, other than `except`. */
  findBlob(digest: Digest, except?: Repository): Promise<Repository | undefined>
  /**
   * Adds a manifest and links `blobs`, which it names, in one step. As long as it is here, none of them is garbage in
   * this repository.
   * @param alsoNames what it names besides, which is kept where it is linked but not linked for that
   */
  putManifest(
    repository: Repository,
    entry: ManifestEntry,
    blobs: readonly Digest[],
    alsoNames?: readonly Digest[]
  ): Promise<void>
  manifest(repository: Repository, digest: Digest): Promise<ManifestEntry | undefined>
  /** Removes a manifest and its place among the referrers. Resolves false when it is not here. Tags are the caller's. */
  deleteManifest(repository: Repository, digest: Digest): Promise<boolean>
  manifests(repository: Repository): Promise<ManifestEntry[]>
  /** Descriptors of the manifests whose subject is `subject`, in the order of their digests (distribution-spec §Listing Referrers). */
  referrers(repository: Repository, subject: Digest): Promise<Descriptor[]>
}

/** The newest signed statement of what a tag means, kept as its signed bytes. */
export interface TagEntry {
  /** Grows with each change; {@link Tags.put} refuses to go back, also after a restart. */
  readonly sequence: number
  /** What the tag means; undefined for a tombstone. */
  readonly digest?: Digest
  /** The signed record, as it is passed on. */
  readonly envelope: Uint8Array
  /** When this node last learnt from the authority that this is the newest, in ms since 1970. */
  readonly confirmedAt: number
}

/** One change of what a tag means. */
export interface TagHistoryEntry {
  readonly sequence: number
  /** When this seed signed it, or heard of it from the one that did, in ms since 1970. */
  readonly at: number
  /** What the tag meant from then on; undefined when it was deleted. */
  readonly digest?: Digest
  /** What it meant until then; undefined when it was not there. */
  readonly previous?: Digest
  /** Who did it, by name; undefined for the anonymous, and when another seed signed it. */
  readonly actor?: string
  /** Peer id of the node by which it came; undefined when another seed signed it. */
  readonly node?: string
  /** Peer id of the seed that signed it. */
  readonly signer: string
}

export interface TagPutOptions {
  /** Kept in the same step as the entry. Of each tag the newest are kept, up to a bound. */
  readonly history?: TagHistoryEntry
  /** An entry with this envelope gives way whatever its sequence is: nobody believes its signer any more. */
  readonly replaces?: Uint8Array
}

export interface Tags {
  /** The entry, tombstones too. */
  get(repository: Repository, tag: Tag): Promise<TagEntry | undefined>
  /** Keeps the entry unless a higher sequence is here: `older`. The same sequence with other bytes is `conflict`. Durable when it resolves. */
  put(
    repository: Repository,
    tag: Tag,
    entry: TagEntry,
    options?: TagPutOptions
  ): Promise<'stored' | 'older' | 'conflict'>
  /** The changes of a tag whose sequence is below `before`, newest first. */
  history(repository: Repository, tag: Tag, page: { before?: number; limit: number }): Promise<TagHistoryEntry[]>
  /**
   * The highest sequence of what garbage collections forgot of the tags of a repository; 0 when there was nothing. Whoever
   * signs goes on from it for a tag that is not here, as others may remember that one.
   */
  forgotten(repository: Repository): Promise<number>
  /** Tags that are not tombstones, in ASCII order. */
  list(repository: Repository, page: PageRequest): Promise<Tag[]>
  /** The tags that mean this digest. */
  pointingAt(repository: Repository, digest: Digest): Promise<Tag[]>
  /** All entries of a repository, tombstones too, in ASCII order of their tags. */
  of(repository: Repository): AsyncIterable<TagEntry & { tag: Tag }>
  /** All entries, tombstones too, of all repositories. */
  all(): AsyncIterable<TagEntry & { repository: Repository; tag: Tag }>
}

/** Signed piece maps, kept beside the blobs they describe, as they are passed on to peers. */
export interface PieceMaps {
  get(digest: Digest): Promise<Uint8Array | undefined>
  put(digest: Digest, envelope: Uint8Array): Promise<void>
  delete(digest: Digest): Promise<void>
}

/** A signed document that all nodes hold: of each kind and signer the newest, as its signed bytes. */
export interface NoticeEntry {
  readonly kind: string
  /** Peer id. */
  readonly signer: string
  /** Grows with each statement; {@link Notices.put} refuses to go back, also after a restart. */
  readonly sequence: number
  readonly envelope: Uint8Array
  /** When it came here, in ms since 1970. */
  readonly keptAt: number
}

export interface Notices {
  get(kind: string, signer: string): Promise<NoticeEntry | undefined>
  /** Keeps the entry unless one of the same sequence or a higher one is here: `known`. Durable when it resolves. */
  put(entry: NoticeEntry): Promise<'stored' | 'known'>
  all(): AsyncIterable<NoticeEntry>
}

/** Keeps blobs from being removed. */
export interface Hold {
  /** Ends it; a lease begins. A second call does nothing. */
  release(): void
}

/**
 * What keeps blobs that no link, pin or reader keeps: somebody was told that they are here, or is about to link them. To
 * be sure of a blob, hold or renew it first, and look whether it is here then.
 */
export interface Leases {
  /** These stay for the length of a lease, as far as they are here when it resolves. */
  renew(digests: readonly Digest[]): Promise<void>
  /** These stay until the hold is released, as far as they are here when it resolves or come meanwhile. */
  hold(digests: readonly Digest[]): Promise<Hold>
}

/** A manifest that stays here with all that it names, whatever space is needed. */
export interface Pin {
  readonly repository: Repository
  /** Of the manifest. */
  readonly digest: Digest
  /** What was asked for, for people. */
  readonly reference: string
  /** In ms since 1970. */
  readonly at: number
}

/** Pins; durable when they resolve. They cover what is not here yet too, once it comes. */
export interface Pins {
  /** Pins a manifest of a repository, in place of an earlier pin of the same. */
  add(pin: Pin): Promise<void>
  /** Resolves false when it was not pinned. */
  remove(repository: Repository, digest: Digest): Promise<boolean>
  list(): AsyncIterable<Pin>
  /** Sum of the lengths of whole blobs here that pins cover. */
  bytes(): Promise<number>
}

/** Why bytes were removed: the quota, the free space of the disk, or nobody needs them. */
export type RemovalReason = 'quota' | 'floor' | 'garbage'

/** Bytes that were removed from the store. */
export interface Removal {
  readonly digest: Digest
  readonly bytes: number
  readonly reason: RemovalReason
  /** False for an unfinished download. */
  readonly whole: boolean
}

/** How the store stands with its limits. */
export interface StoreSpace {
  /** What the store may take up, in bytes; undefined without a quota. */
  readonly limitBytes?: number
  /** What it takes up, with what was promised to downloads that run and with unfinished pushes. */
  readonly usedBytes: number
  /** What must stay free on the disk. */
  readonly minFreeBytes: number
  /** As it was looked up last, which may be some seconds ago. */
  readonly freeBytes: number
  /** Whether something was refused for want of space, and there is none yet. */
  readonly full: boolean
}

export interface GarbageOptions {
  /** Only tells what would be removed. @default false */
  readonly dryRun?: boolean
  /** Ends the collection where it is; the next one goes on there. */
  readonly signal?: AbortSignal
}

/** What a garbage collection did, or would do. */
export interface GarbageReport {
  /** False when it ended early; the next one goes on where it was. */
  readonly complete: boolean
  /** Blobs that were looked at. */
  readonly scanned: number
  /** Times that a repository showed a blob that no manifest of it names. */
  readonly unlinked: number
  /** Whole blobs removed. */
  readonly blobs: number
  /** Unfinished downloads removed. */
  readonly partials: number
  /** Length of what was removed. */
  readonly bytes: number
  /** Rows of metadata that told of nothing that is here, or of tags that may be forgotten. */
  readonly rows: number
  /** Garbage that was spared, since it was used not long ago. */
  readonly spared: number
}

/**
 * Blobs of another program on this host, which this one may read: they are given to clients and peers like those of the
 * store, but are not of it. They are not counted, not kept, and can be gone at any time, so that nothing may rest on them.
 */
export interface SharedContent {
  /** Undefined when it is not there, or was not verified in time; that goes on then, for whoever asks again. */
  stat(digest: Digest): Promise<BlobStat | undefined>
  open(digest: Digest): Promise<BlobReader | undefined>
  /** As {@link BlobStore.readAt}. */
  readAt(digest: Digest, range: ByteRange, spare?: ArrayBuffer): Promise<Uint8Array | undefined>
  pieceHashes(digest: Digest): Promise<PieceHashes | undefined>
  /**
   * Looks what is there, and verifies slowly what is new; what is gone is forgotten. When `signal` aborts it ends with
   * what it has, and goes on there the next time. @returns all that is verified @throws system errors when it can't be read
   */
  look(signal: AbortSignal): Promise<BlobStat[]>
}

/** The content store of a node: what is on disk is the truth after a crash. */
export interface ContentStore {
  readonly blobs: BlobStore
  readonly downloads: Downloads
  readonly uploads: Uploads
  readonly repositories: Repositories
  readonly tags: Tags
  readonly pieceMaps: PieceMaps
  readonly notices: Notices
  readonly leases: Leases
  readonly pins: Pins
  /** Undefined unless another program's store was named. */
  readonly shared: SharedContent | undefined
  space(): StoreSpace
  /**
   * Removes what nobody needs: links of repositories to blobs that no manifest of them names, bytes that no repository
   * links and no pin covers, unfinished downloads that nobody goes on with, unless they are what is left of a blob that must
   * be here; and what is known of tags and images that are long gone. What was used within the grace stays. Pushes,
   * mounts, pulls and deletions go on beside it. One at a time. @throws {ContentError} BUSY
   */
  collectGarbage(options?: GarbageOptions): Promise<GarbageReport>
  /** Ends downloads and uploads where they are, keeps what they brought, lets go of all handles. */
  close(): Promise<void>
}

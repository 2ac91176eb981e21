import type { Descriptor, Digest, Repository } from '@layermesh/oci'
import type { ManifestEntry, TagHistoryEntry } from '../interfaces.ts'
import type { Metadata } from './metadata.ts'
import { BYTES, json, PRESENCE, Table } from './table.ts'

export interface BlobRow {
  readonly size: number
  /** When it came here, in ms since 1970; not known of those that came before that was noted, or whose row was lost. */
  readonly at?: number
}

/** A manifest with all that it names, whether it is here or not. */
export interface ManifestRow extends ManifestEntry {
  readonly names: readonly Digest[]
}

export interface PinRow {
  /** What was asked for, for people. */
  readonly reference: string
  readonly at: number
  /** Whether all that it covers was written down. */
  readonly complete: boolean
}

/** A blob of another program's store that was read through once. */
export interface SharedRow {
  /** Which file it was; another one, or another content, has another identity. */
  readonly identity: string
  readonly size: number
}

export interface PartialRow {
  readonly size: number
  /** Whether every piece that is here came with someone's word for it, or from a blob that was whole once. */
  readonly vouched: boolean
}

export interface UploadRow {
  readonly repository: Repository
  /** Durable bytes. */
  readonly offset: number
  /** When something was appended last, in ms since 1970. */
  readonly touchedAt: number
}

export interface TagRow {
  readonly sequence: number
  readonly digest?: Digest
  /** Base64. */
  readonly envelope: string
  readonly confirmedAt: number
  /** How many rows of its history are kept. */
  readonly history?: number
}

export interface NoticeRow {
  readonly keptAt: number
  readonly sequence: number
  /** Base64. */
  readonly envelope: string
}

/** All tables of the metadata, with the parts of their keys. */
export type Tables = ReturnType<typeof createTables>

export function createTables(metadata: Metadata) {
  return {
    /** A whole blob: there is a file of this length, durable before the row was written. By digest. */
    blobs: new Table<[Digest], BlobRow>(metadata, 'blob', json()),
    /** The SHA-256 of each piece of a whole blob, one after the other. By digest. */
    pieceHashes: new Table<[Digest], Uint8Array>(metadata, 'pieces', BYTES),
    /** An unfinished download. By digest. */
    partials: new Table<[Digest], PartialRow>(metadata, 'partial', json()),
    /** A durable piece of an unfinished download and its SHA-256. By digest and {@link pieceKey}. */
    partialPieces: new Table<[Digest, string], Uint8Array>(metadata, 'partial-piece', BYTES),
    /** An upload session. By id. */
    uploads: new Table<[string], UploadRow>(metadata, 'upload', json()),
    /** A repository that holds something, or once did. */
    repositories: new Table<[Repository], true>(metadata, 'repository', PRESENCE),
    /** A blob that a repository may show; and the same the other way round. */
    links: new Table<[Repository, Digest], true>(metadata, 'link', PRESENCE),
    linkedFrom: new Table<[Digest, Repository], true>(metadata, 'linked-from', PRESENCE),
    manifests: new Table<[Repository, Digest], ManifestRow>(metadata, 'manifest', json()),
    /** By repository, a digest that a manifest names (or {@link ANY}), and the manifest. Written with the manifest's row. */
    namedBy: new Table<[Repository, Digest, Digest], true>(metadata, 'named-by', PRESENCE),
    /** By repository, subject, and digest of the manifest that refers to it. */
    referrers: new Table<[Repository, Digest, Digest], Descriptor>(metadata, 'referrer', json()),
    tags: new Table<[Repository, string], TagRow>(metadata, 'tag', json()),
    /** By repository, the digest that a tag means, and the tag. */
    tagsOf: new Table<[Repository, Digest, string], true>(metadata, 'tag-of', PRESENCE),
    /** A change of what a tag means. By repository, tag, {@link sequenceKey} and signer. */
    tagHistory: new Table<[Repository, string, string, string], TagHistoryEntry>(metadata, 'tag-history', json()),
    /** The highest sequence of a repository's tags that were forgotten. */
    forgottenTags: new Table<[Repository], number>(metadata, 'forgotten-tags', json()),
    pieceMaps: new Table<[Digest], Uint8Array>(metadata, 'piece-map', BYTES),
    /** By kind and signer. */
    notices: new Table<[string, string], NoticeRow>(metadata, 'notice', json()),
    /** When a blob, whole or unfinished, was used last, in ms since 1970; written now and then. */
    uses: new Table<[Digest], number>(metadata, 'use', json()),
    /** When a client last brought a blob that no manifest has named since: nobody else may have it. */
    pushes: new Table<[Digest], number>(metadata, 'push', json()),
    /** By repository and the digest of the manifest. */
    pins: new Table<[Repository, Digest], PinRow>(metadata, 'pin', json()),
    /** What a pin covers, by repository, manifest and digest; and the same the other way round. */
    pinned: new Table<[Repository, Digest, Digest], true>(metadata, 'pinned', PRESENCE),
    pinnedBy: new Table<[Digest, Repository, Digest], true>(metadata, 'pinned-by', PRESENCE),
    /** A blob that lies in another program's store, and the SHA-256 of each of its pieces. By digest. */
    shared: new Table<[Digest], SharedRow>(metadata, 'shared', json()),
    sharedPieces: new Table<[Digest], Uint8Array>(metadata, 'shared-pieces', BYTES),
    /** What the store itself must remember: its format, and how far the garbage collector is. */
    store: new Table<[string], string>(metadata, 'store', json())
  }
}

/** Stands for whatever a manifest names whose bytes were not here when the names were written down. */
export const ANY = '*' as Digest

/** A sequence as a part of a key, so that changes sort by it. */
export function sequenceKey(sequence: number): string {
  return sequence.toString(16).padStart(14, '0')
}

/** A piece's number as a part of a key, so that pieces sort by number. */
export function pieceKey(piece: number): string {
  return piece.toString(16).padStart(8, '0')
}

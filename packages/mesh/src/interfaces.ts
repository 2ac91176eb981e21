import type { Digest, Repository, Tag } from '@layermesh/oci'

/** A peer that this node is connected to. */
export interface PeerSummary {
  readonly peerId: string
  readonly addresses: readonly string[]
  readonly direction: 'inbound' | 'outbound'
  /** What the peer told of itself. */
  readonly zone: string
  readonly role: 'seed' | 'node'
  readonly version: string
  /** Smoothed round trip in ms; undefined before it was measured. */
  readonly roundTripMs?: number
  readonly receivedBytes: number
  readonly sentBytes: number
}

/** Payload taken in from one peer, or from an origin outside the mesh, which {@link BlobOrigin.name} names. */
export type TransferSource =
  | { readonly peerId: string; readonly bytes: number }
  | { readonly origin: string; readonly bytes: number }

/** A blob that is arriving here. */
export interface TransferSummary {
  readonly digest: Digest
  readonly size: number
  readonly heldBytes: number
  /** Where the bytes came from so far. */
  readonly sources: readonly TransferSource[]
}

/** What the node answers when peers ask it about tags; `node` implements it, `mesh` checks sizes and shapes before it calls. */
export interface TagHandler {
  /** The newest signed record known here, and whether this node is an authority (a seed) for the repository. */
  resolve(from: string, repository: Repository, tag: Tag, signal: AbortSignal): Promise<TagAnswer>
  /** A record that a peer pushed because it changed. Takes it when it is valid and newer; never throws for a bad one. */
  offer(envelope: Uint8Array, from: string): Promise<void>
  listTags(from: string, repository: Repository, page: ListPage, signal: AbortSignal): Promise<ListAnswer>
  listRepositories(page: ListPage, signal: AbortSignal): Promise<ListAnswer>
  /** Descriptors (JSON) of what refers to `subject`. */
  listReferrers(
    repository: Repository,
    subject: Digest,
    signal: AbortSignal
  ): Promise<{ descriptors: Uint8Array; authoritative: boolean }>
  /** A node asks this seed to take a manifest whose content it holds, and to sign what `tags` mean. @throws {OciError} */
  push(from: string, push: PushRequest, signal: AbortSignal): Promise<readonly Uint8Array[]>
  /** A node asks this seed to delete a tag, a manifest or a blob link. @throws {OciError} */
  delete(from: string, target: DeleteRequest, signal: AbortSignal): Promise<boolean>
  /** A node asks this seed for a token for one of its clients. @throws {OciError} UNAUTHORIZED, TOOMANYREQUESTS, UNSUPPORTED */
  authenticate(from: string, request: AuthenticateRequest, signal: AbortSignal): Promise<string>
  /** A node says that it has all of an image: its manifest and all that this names. */
  complete(from: string, repository: Repository, digest: Digest): Promise<void>
}

export interface TagAnswer {
  /** The signed record, a tombstone too; undefined when none is known. */
  readonly envelope?: Uint8Array
  /** When an authority last confirmed it, in ms since 1970. */
  readonly confirmedAt: number
  readonly authoritative: boolean
}

export interface ListPage {
  readonly after?: string
  readonly limit: number
}
export interface ListAnswer {
  /** Undefined when the repository is not known. */
  readonly names?: readonly string[]
  readonly authoritative: boolean
}

export interface PushRequest {
  readonly repository: Repository
  /** The manifest; the seed fetches its bytes, and the blobs that it lacks, from the node that asks. */
  readonly manifest: { readonly digest: Digest; readonly mediaType: string; readonly size: number }
  readonly tags: readonly Tag[]
  /** What the client showed, as the value of an Authorization header; undefined when it is anonymous. */
  readonly credential?: string
}
export interface DeleteRequest {
  readonly repository: Repository
  readonly kind: 'tag' | 'manifest' | 'blob'
  /** A tag for `tag`, else a digest. */
  readonly reference: string
  /** As in {@link PushRequest}. */
  readonly credential?: string
}

/** What a client showed to a node that asks a seed to make a token of it. */
export interface AuthenticateRequest {
  /** Value of an Authorization header. */
  readonly authorization: string
  /** As the token protocol has them: `repository:team/app:pull,push`. */
  readonly scopes: readonly string[]
  /** The client's address, by the word of the node. */
  readonly address: string
}

/** Asks one peer; every call has a deadline of its own besides `signal`. @throws {MeshError} PEER_UNREACHABLE, PEER_MISBEHAVED, DEADLINE */
export interface TagClient {
  resolve(peerId: string, repository: Repository, tag: Tag, signal: AbortSignal): Promise<TagAnswer>
  listTags(peerId: string, repository: Repository, page: ListPage, signal: AbortSignal): Promise<ListAnswer>
  listRepositories(peerId: string, page: ListPage, signal: AbortSignal): Promise<ListAnswer>
  listReferrers(
    peerId: string,
    repository: Repository,
    subject: Digest,
    signal: AbortSignal
  ): Promise<{ descriptors: Uint8Array; authoritative: boolean }>
  /** @throws {OciError} what the seed answered */
  push(peerId: string, push: PushRequest, signal: AbortSignal): Promise<readonly Uint8Array[]>
  /** @throws {OciError} what the seed answered */
  delete(peerId: string, target: DeleteRequest, signal: AbortSignal): Promise<boolean>
  /** @returns a token that the seed accepts as a credential @throws {OciError} what the seed answered */
  authenticate(peerId: string, request: AuthenticateRequest, signal: AbortSignal): Promise<string>
  /** Tells a seed that this node has all of an image. */
  complete(peerId: string, repository: Repository, digest: Digest, signal: AbortSignal): Promise<void>
  /** Tells all connected peers of a changed record; does not wait for them. */
  announce(envelope: Uint8Array): void
}

/** Tag records in the DHT: the last resort when no seed and no peer answers. */
export interface TagDirectory {
  put(repository: Repository, tag: Tag, envelope: Uint8Array, signal: AbortSignal): Promise<void>
  get(repository: Repository, tag: Tag, signal: AbortSignal): Promise<Uint8Array | undefined>
}

/** Where a blob can be had besides peers, such as another registry. Of the nodes of a zone that want it, one asks it. */
export interface BlobOrigin {
  /** For logs and metrics, such as `docker.io`. */
  readonly name: string
  /**
   * The bytes from `start` to the end, in order, and the length of the whole blob; undefined when the origin does not
   * have it. The bytes are not checked against the digest. Nothing is read ahead beyond a small buffer while nobody takes
   * them; leaving the loop ends it.
   */
  open(
    digest: Digest,
    start: number,
    signal: AbortSignal
  ): Promise<{ readonly size: number; readonly body: AsyncIterable<Uint8Array> } | undefined>
}

/** How a blob is looked for. */
export interface BlobRequest {
  /** Length, when a descriptor told it; a peer that claims another length is passed over. */
  readonly size?: number
  /** The most that is taken when the length is not known before, in bytes. */
  readonly maxBytes?: number
  /** Peers that are known to hold it, asked first. */
  readonly candidates?: readonly string[]
  /** Where it is brought from when no peer has it. */
  readonly origin?: BlobOrigin
}

export type Received =
  | { readonly source: 'peer'; readonly peerId: string; readonly scope: 'zone' | 'far'; readonly bytes: number }
  | { readonly source: 'upstream'; readonly origin: string; readonly scope: 'far'; readonly bytes: number }

/** Payload counts and incidents, for metrics and the log. */
export interface MeshObserver {
  /** Payload came from a peer, or from an origin outside the mesh, which is far. */
  received(event: Received): void
  sent(event: { peerId: string; scope: 'zone' | 'far'; bytes: number }): void
  pieceFailed(event: { peerId: string; digest: Digest; piece: number; reason: string }): void
  banned(event: { peerId: string; reason: string; untilMs: number }): void
  /** A connection was not let in, or was ended, for who the peer is; `peerId` when it proved that. */
  refused(event: { peerId?: string; reason: RefusalReason; detail: string }): void
  /** The DHT has named the first who holds a blob. */
  providerFound(event: { elapsedMs: number }): void
  peerConnected(peerId: string): void
  peerDisconnected(peerId: string): void
}

/** A question for the mesh: is this digest in that repository? */
export interface MembershipQuestion {
  readonly digest: Digest
  readonly repository: Repository
  /** Peers that together know all there is in the repository: when all of them say no, nobody else is asked. */
  readonly authorities: readonly string[]
}

/** Which statement a notice is: of one kind and signer the one with the highest sequence counts. */
export interface NoticeHead {
  /** Up to 64 characters; both ends must know what it means. */
  readonly kind: string
  /** Peer id. */
  readonly signer: string
  /** 1 or more. */
  readonly sequence: number
}

/**
 * - `new`: it was valid and newer than what was here, and is kept now
 * - `known`: the same or a newer one is here
 * - `refused`: it is genuine, but not to be kept here and now
 * - `invalid`: no node would have kept it; whoever sent it is broken or hostile
 */
export type NoticeOutcome = 'new' | 'known' | 'refused' | 'invalid'

/**
 * The notices that a node holds: signed documents that all nodes hold, such as rosters. `node` implements it and knows
 * what they say; `mesh` carries them. Whoever may sign them is few, and so are they.
 */
export interface NoticeBoard {
  heads(): readonly NoticeHead[]
  get(kind: string, signer: string): Promise<Uint8Array | undefined>
  /** Whether it would be kept, as far as the head tells: a known kind, a trusted signer, and newer than what is here. */
  wants(head: NoticeHead): boolean
  /**
   * Takes a notice of this kind if it is valid and newer; it is durable when this resolves.
   * @param signer whose it must be, for a peer that was asked for that one's; another's is invalid
   */
  offer(kind: string, envelope: Uint8Array, from: string, signer?: string): Promise<NoticeOutcome>
  /** Calls `listener` after a notice was kept, wherever it came from. Returns a function that ends it. */
  onChange(listener: (head: NoticeHead) => void): () => void
  /** Calls `listener` when others may sign than before: it may want what it did not. Returns a function that ends it. */
  onSigners(listener: () => void): () => void
}

/** By what a peer that showed a ticket is in the mesh. */
export interface TicketHold {
  readonly id: string
  /** Peer id of the seed that signed it. */
  readonly signer: string
  /** In ms since 1970. */
  readonly expiresAt: number
}

/**
 * Who may be in the mesh, and what this node shows of itself; `node` implements it. All of it is asked anew for each
 * connection, so that secrets, tickets and revocations can change while a node runs.
 */
export interface MembershipPolicy {
  /** What peers must show; `open`: nothing. It stays the same. */
  readonly admission: 'open' | 'secret' | 'ticket' | 'either'
  /** The cluster secrets that count, at least 32 bytes each and at most 4. This node proves that it knows each. */
  secrets(): readonly Uint8Array[]
  /** This node's own ticket, if it has one. */
  ticket(): Uint8Array | undefined
  /** Makes sure that a ticket admits this peer now. @throws {Error} whose message says why it does not */
  checkTicket(ticket: Uint8Array, peerId: string): Promise<TicketHold>
  /** Whether a ticket that was good when it was shown still is. */
  holds(ticket: TicketHold): boolean
  /** Whether a peer needs no ticket: those who may sign them. */
  needsNoTicket(peerId: string): boolean
  /** Whether a peer is kept out, whatever it shows. */
  isRevoked(peerId: string): boolean
  /** Calls `listener` after any of it changed. Returns a function that ends it. */
  onChange(listener: () => void): () => void
}

/** Why a connection was not let in, or was ended. */
export type RefusalReason =
  /** The handshake failed, or took too long. */
  | 'handshake'
  /** Too many handshakes began, or were under way. */
  | 'busy'
  /** It showed no proof of a secret that counts, nor a ticket that admits it. */
  | 'not-a-member'
  | 'revoked'
  | 'banned'
  /** The peer has as many connections as it may have, or this node has. */
  | 'surplus'
  /** The secret or ticket that it was let in by counts no more. */
  | 'lapsed'

/** A member of the mesh, by its own word or by that of a peer which is connected to it. */
export interface MeshMember {
  readonly peerId: string
  /** `unknown` before it told. */
  readonly zone: string
  readonly role: 'seed' | 'node'
}

/** An image that a node has another one fetch. */
export interface PrefetchRequest {
  /** `[host/]name[:tag][@digest]` */
  readonly reference: string
  /** `os/architecture[/variant]`, or `all`; undefined is the platform of the node that fetches. */
  readonly platform?: string
  /** How long it is wanted, in ms. */
  readonly deadlineMs: number
}

/** How far a node is with an image. */
export interface PrefetchReport {
  /** `waiting`: others come first; `done`: all of it is here. */
  readonly state: 'waiting' | 'fetching' | 'done'
  /** Length of all parts as far as they are known, in bytes. */
  readonly size: number
  /** How many of them are here. */
  readonly heldBytes: number
  /** How many were taken in for this. */
  readonly receivedBytes: number
  /** Of the manifest, once it is done. */
  readonly digest?: Digest
}

/** Fetches images for others; `node` implements it. */
export interface PrefetchHandler {
  /**
   * Yields how far it is, now and then, and at last `done`. The work ends a while after the last who asked for it left.
   * @throws {OciError} DENIED, TOOMANYREQUESTS, and what kept the image from coming
   */
  fetch(from: string, request: PrefetchRequest, signal: AbortSignal): AsyncIterable<PrefetchReport>
}

/** Has one peer fetch an image. */
export interface PrefetchClient {
  /**
   * Yields what the peer tells; the last report is `done`.
   * @throws {MeshError} PEER_UNREACHABLE, PEER_MISBEHAVED, DEADLINE, UNSUPPORTED; {OciError} what the peer answered
   */
  fetch(peerId: string, request: PrefetchRequest, signal: AbortSignal): AsyncIterable<PrefetchReport>
}

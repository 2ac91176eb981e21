/** How the API behaves, and its limits against abuse. */
export interface RegistryOptions {
  /** `host[:port]` names by which clients may know this registry, beside loopback ones. @default [] */
  readonly ownHosts?: readonly string[]
  /**
   * The registry asks clients who they are where access control wants it; a mirror asks nobody, and refuses every push
   * and deletion. @default 'registry'
   */
  readonly face?: 'registry' | 'mirror'
  /**
   * Whether every client comes through a proxy that ends TLS and tells the client's address in `X-Forwarded-For`.
   * @default false
   */
  readonly behindTlsProxy?: boolean
  /** Refuses every push and delete with UNSUPPORTED. @default false */
  readonly readOnly?: boolean
  /** Whether blobs, manifests and tags can be deleted; one switch for all three. @default false */
  readonly deletes?: boolean
  /** Most `?tag=` parameters of one manifest push. @default 32 */
  readonly maxTagParams?: number
  /** Most names in one page of tags or repositories, and how many come when the client does not say. @default 1000 */
  readonly maxPageSize?: number
  /** Most repositories that are looked through for one page of those that a caller may see. @default 10 000 */
  readonly maxCatalogScan?: number
  /** Most bytes in one page of referrers; a single referrer may exceed it. @default 4 MiB */
  readonly maxReferrersBytes?: number
  /** How long the answer to a pull may take to begin; clients give up after 30 s. @default 25 000 */
  readonly answerTimeoutMs?: number
  /** How long a client may pause while it sends a body. @default 60 000 */
  readonly bodyIdleTimeoutMs?: number
  /** How long a client may take nothing of an answer. @default 600 000 */
  readonly stalledResponseTimeoutMs?: number
  /** Answers that clients are slow to take, at one time; beyond, the one that waits the longest is cut. @default 256 */
  readonly maxSlowAnswers?: number
  /** How long a client may take for a piece of content, of 1 MiB mostly, before it counts as slow. @default 5 000 */
  readonly slowAnswerMs?: number
  /** Most bodies of blobs received at once, 429 beyond. @default 256 */
  readonly maxConcurrentUploadBodies?: number
  /** Most bodies of manifests received at once, each in memory, 429 beyond. @default 32 */
  readonly maxConcurrentManifestBodies?: number
  /**
   * How many bytes of a body that is not wanted are read and thrown away, so that the client sees its answer and not a
   * broken connection. The default has room for manifests that are too large. @default 8 MiB
   */
  readonly maxDiscardedBytes?: number
  /** How long such a body is read. @default 5 000 */
  readonly discardTimeoutMs?: number
  /** How long the answer to a push or deletion waits for its event to be recorded. @default 10 000 */
  readonly recordTimeoutMs?: number
}

/** {@link RegistryOptions} with nothing left open. */
export type ResolvedRegistryOptions = Required<RegistryOptions>

const MIB = 1024 * 1024

export const REGISTRY_DEFAULTS: ResolvedRegistryOptions = Object.freeze({
  ownHosts: Object.freeze([]),
  face: 'registry',
  behindTlsProxy: false,
  readOnly: false,
  deletes: false,
  maxTagParams: 32,
  maxPageSize: 1000,
  maxCatalogScan: 10_000,
  maxReferrersBytes: 4 * MIB,
  answerTimeoutMs: 25_000,
  bodyIdleTimeoutMs: 60_000,
  stalledResponseTimeoutMs: 600_000,
  maxSlowAnswers: 256,
  slowAnswerMs: 5_000,
  maxConcurrentUploadBodies: 256,
  maxConcurrentManifestBodies: 32,
  maxDiscardedBytes: 8 * MIB,
  discardTimeoutMs: 5_000,
  recordTimeoutMs: 10_000
})

/** Limits of the HTTP server around the API. */
export interface RegistryServerOptions {
  /** How long a client may take to send the head of a request. @default 15 000 */
  readonly headersTimeoutMs?: number
  /** How long an idle connection is kept; Go clients drop theirs after 90 s and must be the first. @default 95 000 */
  readonly keepAliveTimeoutMs?: number
  /** Most bytes in the head of a request, 431 beyond. @default 32 KiB */
  readonly maxHeaderBytes?: number
  /** Most header lines read of a request. @default 100 */
  readonly maxHeaders?: number
  /** Requests of one connection that may wait for their answers; one more ends the connection. @default 16 */
  readonly maxPipelinedRequests?: number
  /** Most open connections; more are closed at once. @default 4096 */
  readonly maxConnections?: number
}

export const REGISTRY_SERVER_DEFAULTS: Required<RegistryServerOptions> = Object.freeze({
  headersTimeoutMs: 15_000,
  keepAliveTimeoutMs: 95_000,
  maxHeaderBytes: 32 * 1024,
  maxHeaders: 100,
  maxPipelinedRequests: 16,
  maxConnections: 4096
})

import type { RemovalReason } from '@layermesh/content'
import { REQUEST_OUTCOMES } from '@layermesh/upstream'
import { REFUSAL_REASONS } from './tags/refusals.ts'

/** One metric as Prometheus shows it. The documents and the dashboard follow from {@link METRICS}. */
export interface MetricDefinition {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  /** Its labels; each with all values it can have, or undefined when they are not known before. */
  readonly labels: Readonly<Record<string, readonly string[] | undefined>>
}

const SCOPES = ['zone', 'far'] as const
const SOURCES = ['peer', 'upstream'] as const
const TARGETS = ['peer', 'client'] as const
const PULL_KINDS = ['blob', 'manifest'] as const
const PULL_RESULTS = ['hit', 'mesh', 'upstream', 'miss', 'error'] as const
const TAG_SOURCES = ['local', 'seed', 'peer', 'dht', 'upstream'] as const
const TAG_RESULTS = ['ok', 'stale', 'refused', 'unknown'] as const
const CONNECTION_REFUSALS = ['handshake', 'busy', 'not-a-member', 'revoked', 'banned', 'surplus', 'lapsed'] as const
const LOGIN_RESULTS = ['success', 'failure', 'throttled'] as const
const CLIENT_ACTIONS = ['pull', 'push', 'mount', 'delete'] as const
const REMOVAL_REASONS = ['quota', 'floor', 'garbage'] as const satisfies readonly RemovalReason[]
const GARBAGE_RESULTS = ['complete', 'partial'] as const
const NOTICE_OUTCOMES = ['new', 'known', 'refused', 'invalid'] as const

export type Scope = (typeof SCOPES)[number]
export type PullKind = (typeof PULL_KINDS)[number]
export type PullOutcome = (typeof PULL_RESULTS)[number]
export type TagSource = (typeof TAG_SOURCES)[number]
export type TagOutcome = (typeof TAG_RESULTS)[number]
export type ConnectionRefusal = (typeof CONNECTION_REFUSALS)[number]
export type LoginResult = (typeof LOGIN_RESULTS)[number]
export type ClientAction = (typeof CLIENT_ACTIONS)[number]
export type NoticeOutcome = (typeof NOTICE_OUTCOMES)[number]
export type ByteSource = (typeof SOURCES)[number]
export type ByteTarget = (typeof TARGETS)[number]

/** All metrics of a node besides those of the process, which `prom-client` defines. */
export const METRICS = Object.freeze({
  received: {
    name: 'layermesh_received_bytes_total',
    type: 'counter',
    help: 'Payload bytes of content taken in.',
    labels: { source: SOURCES, scope: SCOPES }
  },
  sent: {
    name: 'layermesh_sent_bytes_total',
    type: 'counter',
    help: 'Payload bytes of content given out. What goes to clients has the scope zone.',
    labels: { target: TARGETS, scope: SCOPES }
  },
  pulls: {
    name: 'layermesh_pulls_total',
    type: 'counter',
    help: 'Content that clients asked for, by where it came from: hit is what was here.',
    labels: { kind: PULL_KINDS, result: PULL_RESULTS }
  },
  tagResolutions: {
    name: 'layermesh_tag_resolutions_total',
    type: 'counter',
    help: 'Tags that clients asked for, by who knew what they mean. Stale is what was answered while no seed could be reached.',
    labels: { source: TAG_SOURCES, result: TAG_RESULTS }
  },
  tagRecordsRefused: {
    name: 'layermesh_tag_records_refused_total',
    type: 'counter',
    help: 'Signed statements about tags that were refused: replayed, rolled back, for another tag, expired, from the future, badly signed, or signed by who may not.',
    labels: { reason: REFUSAL_REASONS }
  },
  upstreamRequests: {
    name: 'layermesh_upstream_requests_total',
    type: 'counter',
    help: 'Questions to other registries, by how they went. Registries that are not listed in upstreams count as other.',
    labels: { registry: undefined, outcome: REQUEST_OUTCOMES }
  },
  upstreamRateLimit: {
    name: 'layermesh_upstream_rate_limit',
    type: 'gauge',
    help: 'Pulls that another registry allows this node in a window of time, by what it last said.',
    labels: { registry: undefined }
  },
  upstreamRateLimitRemaining: {
    name: 'layermesh_upstream_rate_limit_remaining',
    type: 'gauge',
    help: 'Pulls that are left of those, by what it last said.',
    labels: { registry: undefined }
  },
  pieceFailures: {
    name: 'layermesh_piece_failures_total',
    type: 'counter',
    help: 'Pieces of blobs that did not come, or came wrong.',
    labels: { reason: undefined }
  },
  peersBanned: {
    name: 'layermesh_peers_banned_total',
    type: 'counter',
    help: 'Peers that were shut out.',
    labels: { reason: undefined }
  },
  connectionsRefused: {
    name: 'layermesh_connections_refused_total',
    type: 'counter',
    help: 'Connections between nodes that were not let in, or were ended, for who the peer is. Lapsed is what was let in by a secret or ticket that counts no more.',
    labels: { reason: CONNECTION_REFUSALS }
  },
  logins: {
    name: 'layermesh_logins_total',
    type: 'counter',
    help: 'Clients that showed a password, key, token or certificate. Throttled are those that guessed too often.',
    labels: { result: LOGIN_RESULTS }
  },
  requestsRefused: {
    name: 'layermesh_requests_refused_total',
    type: 'counter',
    help: 'Requests of clients that were refused for want of rights, without those that were only asked to log in.',
    labels: { action: CLIENT_ACTIONS }
  },
  notices: {
    name: 'layermesh_notices_total',
    type: 'counter',
    help: 'Signed documents for all nodes that came in, such as rosters.',
    labels: { kind: ['roster'], outcome: NOTICE_OUTCOMES }
  },
  providerLookup: {
    name: 'layermesh_provider_lookup_seconds',
    type: 'histogram',
    help: 'How long it took until the DHT named the first who holds a blob.',
    labels: {}
  },
  connectedPeers: {
    name: 'layermesh_connected_peers',
    type: 'gauge',
    help: 'Peers that are connected.',
    labels: {}
  },
  storeBytes: {
    name: 'layermesh_store_bytes',
    type: 'gauge',
    help: 'Sum of the lengths of whole and partial blobs on disk.',
    labels: {}
  },
  storeLimit: {
    name: 'layermesh_store_limit_bytes',
    type: 'gauge',
    help: 'What content may take up; 0 without a quota.',
    labels: {}
  },
  storeFull: {
    name: 'layermesh_store_full',
    type: 'gauge',
    help: '1 when something was refused for want of space, and nothing could be spared since; else 0.',
    labels: {}
  },
  pinnedBytes: {
    name: 'layermesh_store_pinned_bytes',
    type: 'gauge',
    help: 'Sum of the lengths of blobs that stay since they are pinned.',
    labels: {}
  },
  removedBytes: {
    name: 'layermesh_store_removed_bytes_total',
    type: 'counter',
    help: 'Content removed: to stay within the quota, to keep the disk from filling, or since nothing names it.',
    labels: { reason: REMOVAL_REASONS }
  },
  removedBlobs: {
    name: 'layermesh_store_removed_blobs_total',
    type: 'counter',
    help: 'Blobs and unfinished downloads removed, for the same reasons.',
    labels: { reason: REMOVAL_REASONS }
  },
  garbageRuns: {
    name: 'layermesh_gc_runs_total',
    type: 'counter',
    help: 'Garbage collections; partial are those that ended early, to go on later.',
    labels: { result: GARBAGE_RESULTS }
  },
  garbageSeconds: {
    name: 'layermesh_gc_duration_seconds',
    type: 'histogram',
    help: 'How long garbage collections took.',
    labels: {}
  },
  verifiedBytes: {
    name: 'layermesh_store_verified_bytes_total',
    type: 'counter',
    help: 'Content that was read again to compare it with its digest.',
    labels: {}
  },
  badBlobs: {
    name: 'layermesh_store_bad_blobs_total',
    type: 'counter',
    help: 'Blobs that the disk did not give back when all content was read again: fetched anew, or lost since nobody has them.',
    labels: { result: ['repaired', 'lost'] }
  },
  arrivingBlobs: {
    name: 'layermesh_arriving_blobs',
    type: 'gauge',
    help: 'Blobs that are arriving.',
    labels: {}
  },
  webhooksDelivered: {
    name: 'layermesh_webhooks_delivered_total',
    type: 'counter',
    help: 'Events that their receiver has taken.',
    labels: { webhook: undefined }
  },
  webhooksFailed: {
    name: 'layermesh_webhooks_failed_total',
    type: 'counter',
    help: 'Deliveries of events that failed; each is tried again.',
    labels: { webhook: undefined }
  },
  webhooksDead: {
    name: 'layermesh_webhooks_dead_total',
    type: 'counter',
    help: 'Events that were given up.',
    labels: { webhook: undefined }
  },
  webhooksDropped: {
    name: 'layermesh_webhooks_dropped_total',
    type: 'counter',
    help: 'Events that are lost: full for want of room while they waited, forgotten after they were given up.',
    labels: { webhook: undefined, reason: ['full', 'forgotten'] }
  },
  webhooksPending: {
    name: 'layermesh_webhooks_pending',
    type: 'gauge',
    help: 'Events that wait for their delivery.',
    labels: { webhook: undefined }
  },
  auditDropped: {
    name: 'layermesh_audit_dropped_total',
    type: 'counter',
    help: 'Lines that the audit log lacks, since its disk took none.',
    labels: {}
  },
  seedSetExpiry: {
    name: 'layermesh_seed_set_expiry_timestamp_seconds',
    type: 'gauge',
    help: 'When the seed set expires that counts here, in seconds since 1970; 0 without one.',
    labels: {}
  },
  tlsCertificateExpiry: {
    name: 'layermesh_tls_certificate_expiry_timestamp_seconds',
    type: 'gauge',
    help: 'When the TLS certificate of the registry runs out, in seconds since 1970; 0 without one.',
    labels: {}
  },
  info: {
    name: 'layermesh_info',
    type: 'gauge',
    help: 'Always 1; its labels say what this node is.',
    labels: { version: undefined, role: undefined, zone: undefined }
  }
}) satisfies Readonly<Record<string, MetricDefinition>>

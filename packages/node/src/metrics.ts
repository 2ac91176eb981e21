import type { Removal, StoreSpace } from '@layermesh/content'
import type { RequestOutcome } from '@layermesh/upstream'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import {
  type ByteSource,
  type ByteTarget,
  type ClientAction,
  type ConnectionRefusal,
  type LoginResult,
  METRICS,
  type MetricDefinition,
  type NoticeOutcome,
  type PullKind,
  type PullOutcome,
  type Scope,
  type TagOutcome,
  type TagSource
} from './metrics-table.ts'
import type { RefusalReason } from './tags/refusals.ts'

/** What is read at the moment somebody asks for the metrics. */
export interface GaugeReaders {
  connectedPeers(): number
  storeBytes(): number
  storeSpace(): StoreSpace
  pinnedBytes(): Promise<number>
  arrivingBlobs(): number
  /** In ms since 1970; undefined when there is no seed set. */
  seedSetExpiresAt(): number | undefined
  /** Undefined when the registry speaks no TLS. */
  tlsCertificateExpiresAt(): Date | undefined
  /** Events that wait, by webhook. */
  pendingWebhooks(): readonly { readonly endpoint: string; readonly pending: number }[]
}

export interface MetricsOptions {
  readonly version: string
  readonly role: string
  readonly zone: string
  /** Whether to show memory, CPU, garbage collection and event-loop delay of the process too. @default true */
  readonly process?: boolean
}

/** Between what a node knows by itself and what a client would not wait for. */
const LOOKUP_SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]
/** From a store of a node to that of a large seed. */
const GARBAGE_SECONDS = [0.1, 1, 10, 60, 600, 3600]
const PROCESS_PREFIX = 'layermesh_'
/** Reasons come from a fixed set in the code; should one ever be made of what a peer sent, it can't fill the memory. */
const MAX_REASONS = 64
const OTHER_REASON = 'other'

/** The counters of one node, in a registry of its own. */
export class NodeMetrics {
  readonly #registry = new Registry()
  readonly #received = this.counter(METRICS.received)
  readonly #sent = this.counter(METRICS.sent)
  readonly #pulls = this.counter(METRICS.pulls)
  readonly #tagResolutions = this.counter(METRICS.tagResolutions)
  readonly #tagRecordsRefused = this.counter(METRICS.tagRecordsRefused)
  readonly #upstreamRequests = this.counter(METRICS.upstreamRequests)
  readonly #upstreamRateLimit = this.labelledGauge(METRICS.upstreamRateLimit)
  readonly #upstreamRateLimitRemaining = this.labelledGauge(METRICS.upstreamRateLimitRemaining)
  readonly #pieceFailures = this.counter(METRICS.pieceFailures)
  readonly #peersBanned = this.counter(METRICS.peersBanned)
  readonly #connectionsRefused = this.counter(METRICS.connectionsRefused)
  readonly #logins = this.counter(METRICS.logins)
  readonly #requestsRefused = this.counter(METRICS.requestsRefused)
  readonly #notices = this.counter(METRICS.notices)
  readonly #webhooksDelivered = this.counter(METRICS.webhooksDelivered)
  readonly #webhooksFailed = this.counter(METRICS.webhooksFailed)
  readonly #webhooksDead = this.counter(METRICS.webhooksDead)
  readonly #webhooksDropped = this.counter(METRICS.webhooksDropped)
  readonly #auditDropped = this.counter(METRICS.auditDropped)
  readonly #removedBytes = this.counter(METRICS.removedBytes)
  readonly #removedBlobs = this.counter(METRICS.removedBlobs)
  readonly #garbageRuns = this.counter(METRICS.garbageRuns)
  readonly #verifiedBytes = this.counter(METRICS.verifiedBytes)
  readonly #badBlobs = this.counter(METRICS.badBlobs)
  readonly #garbageSeconds = this.histogram(METRICS.garbageSeconds, GARBAGE_SECONDS)
  readonly #providerLookup = this.histogram(METRICS.providerLookup, LOOKUP_SECONDS)
  readonly #reasons = new Set<string>()

  constructor(readers: GaugeReaders, { version, role, zone, process = true }: MetricsOptions) {
    this.gauge(METRICS.connectedPeers, () => readers.connectedPeers())
    this.gauge(METRICS.storeBytes, () => readers.storeBytes())
    this.gauge(METRICS.storeLimit, () => readers.storeSpace().limitBytes ?? 0)
    this.gauge(METRICS.storeFull, () => Number(readers.storeSpace().full))
    this.gauge(METRICS.pinnedBytes, () => readers.pinnedBytes())
    this.gauge(METRICS.arrivingBlobs, () => readers.arrivingBlobs())
    this.gauge(METRICS.seedSetExpiry, () => (readers.seedSetExpiresAt() ?? 0) / 1000)
    this.gauge(METRICS.tlsCertificateExpiry, () => (readers.tlsCertificateExpiresAt()?.getTime() ?? 0) / 1000)
    this.pendingWebhooks(readers)
    const { name, help, labels } = METRICS.info
    const info = new Gauge({ name, help, labelNames: Object.keys(labels), registers: [this.#registry] })
    info.set({ version, role, zone }, 1)
    if (process) collectDefaultMetrics({ register: this.#registry, prefix: PROCESS_PREFIX })
  }

  received(source: ByteSource, scope: Scope, bytes: number): void {
    this.#received.inc({ source, scope }, bytes)
  }

  sent(target: ByteTarget, scope: Scope, bytes: number): void {
    this.#sent.inc({ target, scope }, bytes)
  }

  pull(kind: PullKind, result: PullOutcome): void {
    this.#pulls.inc({ kind, result })
  }

  tagResolution(source: TagSource, result: TagOutcome): void {
    this.#tagResolutions.inc({ source, result })
  }

  tagRecordRefused(reason: RefusalReason): void {
    this.#tagRecordsRefused.inc({ reason })
  }

  upstreamAsked(registry: string, outcome: RequestOutcome): void {
    this.#upstreamRequests.inc({ registry, outcome })
  }

  upstreamRateLimit(registry: string, limit: number | undefined, remaining: number): void {
    if (limit !== undefined) this.#upstreamRateLimit.set({ registry }, limit)
    this.#upstreamRateLimitRemaining.set({ registry }, remaining)
  }

  pieceFailure(reason: string): void {
    this.#pieceFailures.inc({ reason: this.bounded(reason) })
  }

  peerBanned(reason: string): void {
    this.#peersBanned.inc({ reason: this.bounded(reason) })
  }

  connectionRefused(reason: ConnectionRefusal): void {
    this.#connectionsRefused.inc({ reason })
  }

  login(result: LoginResult): void {
    this.#logins.inc({ result })
  }

  requestRefused(action: ClientAction): void {
    this.#requestsRefused.inc({ action })
  }

  notice(kind: string, outcome: NoticeOutcome): void {
    this.#notices.inc({ kind: this.bounded(kind), outcome })
  }

  auditDropped(count: number): void {
    this.#auditDropped.inc(count)
  }

  webhookDelivered(webhook: string): void {
    this.#webhooksDelivered.inc({ webhook })
  }

  webhookFailed(webhook: string): void {
    this.#webhooksFailed.inc({ webhook })
  }

  webhookDead(webhook: string): void {
    this.#webhooksDead.inc({ webhook })
  }

  webhooksDropped(webhook: string, reason: string, count: number): void {
    this.#webhooksDropped.inc({ webhook, reason }, count)
  }

  removed({ reason, bytes }: Pick<Removal, 'reason' | 'bytes'>): void {
    this.#removedBytes.inc({ reason }, bytes)
    this.#removedBlobs.inc({ reason })
  }

  garbageCollected({ complete, seconds }: { readonly complete: boolean; readonly seconds: number }): void {
    this.#garbageRuns.inc({ result: complete ? 'complete' : 'partial' })
    this.#garbageSeconds.observe(seconds)
  }

  verified(bytes: number): void {
    this.#verifiedBytes.inc(bytes)
  }

  badBlob(result: 'repaired' | 'lost'): void {
    this.#badBlobs.inc({ result })
  }

  providerFound(seconds: number): void {
    this.#providerLookup.observe(seconds)
  }

  /** All metrics in Prometheus' text format. */
  async expose(): Promise<{ readonly contentType: string; readonly text: string }> {
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() }
  }

  private bounded(reason: string): string {
    if (this.#reasons.size < MAX_REASONS) this.#reasons.add(reason)
    return this.#reasons.has(reason) ? reason : OTHER_REASON
  }

  private histogram({ name, help }: MetricDefinition, buckets: number[]): Histogram {
    return new Histogram({ name, help, buckets, registers: [this.#registry] })
  }

  private pendingWebhooks(readers: GaugeReaders): void {
    const { name, help, labels } = METRICS.webhooksPending
    new Gauge({
      name,
      help,
      labelNames: Object.keys(labels),
      registers: [this.#registry],
      collect() {
        for (const { endpoint, pending } of readers.pendingWebhooks()) this.set({ webhook: endpoint }, pending)
      }
    })
  }

  private gauge({ name, help }: MetricDefinition, read: () => number | Promise<number>): void {
    new Gauge({
      name,
      help,
      registers: [this.#registry],
      async collect() {
        this.set(await read())
      }
    })
  }

  /** Shows what it was last set to, and nothing before. */
  private labelledGauge({ name, help, labels }: MetricDefinition): Gauge {
    return new Gauge({ name, help, labelNames: Object.keys(labels), registers: [this.#registry] })
  }

  /** Each combination of labels that is known starts at 0, so that rates are right from the first event on. */
  private counter({ name, help, labels }: MetricDefinition): Counter {
    const counter = new Counter({ name, help, labelNames: Object.keys(labels), registers: [this.#registry] })
    for (const combination of combinations(labels)) counter.inc(combination, 0)
    return counter
  }
}

function combinations(labels: MetricDefinition['labels']): Record<string, string>[] {
  let found: Record<string, string>[] = [{}]
  for (const [name, values] of Object.entries(labels)) {
    if (values === undefined) return []
    found = found.flatMap((combination) => values.map((value) => ({ ...combination, [name]: value })))
  }
  return found
}

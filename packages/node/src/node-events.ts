import { type Digest, OciError, type Repository } from '@layermesh/oci'
import type { RegistryEvent, RegistryListener, RegistryRefusal } from '@layermesh/registry'
import type { WebhookEvent, Webhooks } from '@layermesh/webhooks'
import type { AdminActionEvent } from './admin/action.ts'
import type { AuditLog } from './audit/audit-log.ts'
import {
  recordOfAction,
  recordOfBan,
  recordOfEvent,
  recordOfLogin,
  recordOfRefusal,
  recordOfTagChange,
  recordsOfPassedOn
} from './audit/records.ts'
import type { Distribution } from './distribution/zone-watch.ts'
import type { Logger } from './log.ts'
import type { NodeMetrics } from './metrics.ts'
import type { TagChange } from './tags/tag-authority.ts'
import type { PassedOnWrite } from './tags/tag-handler.ts'
import { eventNameOf, toWebhookEvent } from './webhooks/registry-events.ts'
import { toPassedOnEvents, toTagEvent } from './webhooks/tag-events.ts'

export interface NodeEventsComponents {
  /** Of this node. */
  readonly peerId: string
  readonly metrics: Pick<NodeMetrics, 'sent' | 'login' | 'requestRefused'>
  readonly log: Pick<Logger, 'warn' | 'error'>
  /** Tells the mesh that this node has a blob. */
  announce(digest: Digest): void
  /** Undefined when none are configured. */
  readonly webhooks: Pick<Webhooks, 'wants' | 'record'> | undefined
  /** Undefined when it is off. */
  readonly audit: Pick<AuditLog, 'write' | 'pulls'> | undefined
}

/** Where everything that happens on a node is told, and passed on to whoever keeps count or record of it. */
export class NodeEvents implements RegistryListener {
  readonly #components: NodeEventsComponents

  constructor(components: NodeEventsComponents) {
    this.#components = components
  }

  /** A client did something here. @throws {WebhookError} when it could not be recorded */
  async record(event: RegistryEvent): Promise<void> {
    const { metrics, announce, webhooks, audit } = this.#components
    const { action, target, digest, bytes } = event
    if (action === 'pull') metrics.sent('client', 'zone', bytes)
    // A blob is shared as soon as it was pushed, before the manifest that names it.
    if (action === 'push' && target === 'blob' && digest !== undefined) announce(digest)
    if (audit && (action !== 'pull' || audit.pulls)) {
      const record = recordOfEvent(event)
      if (record !== undefined) audit.write(record)
    }
    const name = webhooks && eventNameOf(event)
    if (name !== undefined && webhooks?.wants(name)) await webhooks.record(toWebhookEvent(name, event))
  }

  /** A client was refused something here. */
  refused(refusal: RegistryRefusal): void {
    const { metrics, audit } = this.#components
    metrics.requestRefused(refusal.action)
    audit?.write(recordOfRefusal(refusal))
  }

  /** A node passed on what its client did to this seed. @throws {OciError} UNAVAILABLE when it could not be recorded */
  async passedOn(event: PassedOnWrite): Promise<void> {
    const { audit } = this.#components
    for (const record of recordsOfPassedOn(event)) audit?.write(record)
    if (event.error === undefined) await this.#tell(...toPassedOnEvents(event))
  }

  /** This seed signed a tag. @throws {OciError} UNAVAILABLE when it could not be recorded */
  async tagChanged(change: TagChange): Promise<void> {
    const { peerId, audit } = this.#components
    const event = toTagEvent(change, peerId)
    audit?.write(recordOfTagChange(event))
    await this.#tell(event)
  }

  /** Retention removed a manifest of this seed. @throws {OciError} UNAVAILABLE when it could not be recorded */
  async manifestExpired(repository: Repository, digest: Digest): Promise<void> {
    const actor = 'retention'
    this.#components.audit?.write({ action: 'delete', result: 'allowed', repository, reference: digest, digest, actor })
    await this.#tell({ name: 'manifest.deleted', data: { repository, digest, actor } })
  }

  /** Somebody proved who they are, or could not. */
  login(event: Parameters<typeof recordOfLogin>[0]): void {
    const { metrics, audit } = this.#components
    metrics.login(event.result)
    audit?.write(recordOfLogin(event))
  }

  /** The admin API was asked for what needs its token. */
  adminAction(event: AdminActionEvent): void {
    // To look is no change; to try without the token is worth to know.
    if (event.method !== 'GET' || event.error !== undefined) this.#components.audit?.write(recordOfAction(event))
  }

  /** Whether anybody wants to know which images a zone has. */
  get wantsDistributions(): boolean {
    return this.#components.webhooks?.wants('image.distributed') ?? false
  }

  /** Every connected node of a zone has an image. */
  imageDistributed(distribution: Distribution): void {
    this.#tell({ name: 'image.distributed', data: distribution }).catch(() => {})
  }

  peerBanned({ peerId, reason, untilMs }: { peerId: string; reason: string; untilMs: number }): void {
    const { log, audit } = this.#components
    const until = new Date(untilMs).toISOString()
    log.warn({ peerId, reason, until }, 'banned a peer')
    audit?.write(recordOfBan(peerId, reason, until))
    this.#tell({ name: 'peer.banned', data: { peerId, reason, until } }).catch(() => {})
  }

  async #tell(...events: readonly WebhookEvent[]): Promise<void> {
    const { webhooks, log } = this.#components
    try {
      await Promise.all(events.map((event) => webhooks?.record(event)))
    } catch (cause) {
      log.error({ err: cause }, 'an event for webhooks could not be recorded')
      throw new OciError('UNAVAILABLE', 'this was done but could not be recorded; send it again', { cause })
    }
  }
}

import type { Digest } from '@layermesh/oci'
import type { FormatContext, Webhooks } from '@layermesh/webhooks'
import { type AuditLog, openAuditLog } from './audit/audit-log.ts'
import type { NodeConfig } from './config/node-config.ts'
import type { Logger } from './log.ts'
import type { NodeMetrics } from './metrics.ts'
import { NodeEvents } from './node-events.ts'
import type { Teardown } from './teardown.ts'
import { openWebhooks } from './webhooks/open-webhooks.ts'

export interface OpenNodeEventsComponents {
  readonly peerId: string
  readonly metrics: NodeMetrics
  readonly log: Logger
  /** Tells the mesh that this node has a blob. */
  announce(digest: Digest): void
  /** What webhooks tell of this node; not asked before they are started. */
  context(): FormatContext
  readonly started: Teardown
}

/** What happens on a node, and those who keep record of it. */
export interface OpenedNodeEvents {
  readonly events: NodeEvents
  readonly webhooks: Webhooks | undefined
  readonly audit: AuditLog | undefined
}

/** How long a webhook that is on its way at the end may take; it would only be sent again. */
const LAST_DELIVERY_MS = 1_000

/** Opens the audit log and the outbox of webhooks; both end with `started`. @throws {WebhookError}; system errors */
export async function openNodeEvents(
  config: NodeConfig,
  { peerId, metrics, log, announce, context, started }: OpenNodeEventsComponents
): Promise<OpenedNodeEvents> {
  const onDropped = (count: number) => metrics.auditDropped(count)
  const audit = await openAuditLog(config.audit, { log, peerId, onDropped, now: Date.now, stdout: process.stdout })
  started.add(() => audit?.close())
  const webhooks = await openWebhooks(config, { log, metrics, context })
  started.add(() => webhooks?.stop(AbortSignal.timeout(LAST_DELIVERY_MS)))
  return { audit, webhooks, events: new NodeEvents({ peerId, metrics, log, announce, webhooks, audit }) }
}

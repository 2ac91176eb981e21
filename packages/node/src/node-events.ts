import type { Digest } from '@layermesh/oci'
import type { RegistryEvent, RegistryListener } from '@layermesh/registry'
import type { Webhooks } from '@layermesh/webhooks'
import type { Logger } from './log.ts'
import type { NodeMetrics } from './metrics.ts'
import { eventNameOf, toWebhookEvent } from './webhooks/registry-events.ts'

export interface NodeEventsComponents {
  readonly metrics: Pick<NodeMetrics, 'sent'>
  readonly log: Logger
  /** Tells the mesh that this node has a blob. */
  announce(digest: Digest): void
  /** Undefined when none are configured. */
  readonly webhooks: Pick<Webhooks, 'wants' | 'record'> | undefined
}

/** Where everything that happens on a node is told, and passed on to whoever keeps count or record of it. */
export class NodeEvents implements RegistryListener {
  readonly #components: NodeEventsComponents

  constructor(components: NodeEventsComponents) {
    this.#components = components
  }

  async record(event: RegistryEvent): Promise<void> {
    const { metrics, announce, webhooks } = this.#components
    const { action, target, digest, bytes } = event
    if (action === 'pull') metrics.sent('client', 'zone', bytes)
    // A blob is shared as soon as it was pushed, before the manifest that names it.
    if (action === 'push' && target === 'blob' && digest !== undefined) announce(digest)
    const name = webhooks && eventNameOf(event)
    if (name !== undefined && webhooks?.wants(name)) await webhooks.record(toWebhookEvent(name, event))
  }

  peerBanned({ peerId, reason, untilMs }: { peerId: string; reason: string; untilMs: number }): void {
    const { webhooks, log } = this.#components
    const until = new Date(untilMs).toISOString()
    log.warn({ peerId, reason, until }, 'banned a peer')
    webhooks
      ?.record({ name: 'peer.banned', data: { peerId, reason, until } })
      .catch((error) => log.error({ err: error }, 'an event for webhooks could not be recorded'))
  }
}

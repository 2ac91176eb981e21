import type { Webhooks } from '@layermesh/webhooks'
import { apiKeyActions } from '../access/api-key-actions.ts'
import type { NodeBackend } from '../backend/backend.ts'
import type { NodeConfig } from '../config/node-config.ts'
import { closeServer, listen } from '../listening.ts'
import type { Logger } from '../log.ts'
import type { NodeMetrics } from '../metrics.ts'
import type { NodeEvents } from '../node-events.ts'
import type { NodeIdentity, NodeTrust } from '../node-trust.ts'
import type { Prefetcher } from '../prefetch/prefetcher.ts'
import type { AdminAction } from './action.ts'
import { createAdmin } from './admin.ts'
import { loadOrCreateAdminToken } from './admin-token.ts'
import { membershipActions } from './membership-actions.ts'
import { prefetchAction } from './prefetch-action.ts'
import { retentionActions } from './retention-actions.ts'
import { seedActions } from './seed-actions.ts'
import { storeActions } from './store-actions.ts'
import { tagActions } from './tag-actions.ts'
import { verifyAction } from './verify-action.ts'
import type { NodeView } from './view.ts'
import { webhookActions } from './webhook-actions.ts'

export interface StartAdminComponents {
  readonly identity: NodeIdentity
  readonly trusted: NodeTrust
  readonly backend: NodeBackend
  readonly webhooks: Webhooks | undefined
  readonly prefetcher: Prefetcher
  readonly view: NodeView
  readonly metrics: NodeMetrics
  readonly events: NodeEvents
  readonly log: Logger
}

/** The admin listener. */
export interface StartedAdmin {
  /** `http://HOST:PORT` */
  readonly url: string
  /** Accepts no more; what runs may finish until `signal` aborts. */
  close(signal: AbortSignal): Promise<void>
}

/** Opens the admin listener. @throws {AdminTokenError}; system errors */
export async function startAdmin(components: StartAdminComponents, config: NodeConfig): Promise<StartedAdmin> {
  const { view, metrics, log, events } = components
  const token = await loadOrCreateAdminToken(config.dataDir)
  const app = createAdmin(
    {
      view,
      metrics,
      log,
      actions: actionsOf(components),
      streams: [prefetchAction(components.prefetcher), verifyAction(components.backend.verifier)],
      onAction: (event) => events.adminAction(event)
    },
    { ...config.admin, token, tokenForViews: config.access !== undefined }
  )
  const { server, url } = await listen(app, config.admin.listen)
  return { url, close: (signal) => closeServer(server, signal) }
}

function actionsOf({ identity, trusted, backend, webhooks }: StartAdminComponents): readonly AdminAction[] {
  const { peerId, seedSets } = identity
  const { board, rosters, rosterAuthority, tickets, membership } = trusted
  const seed = rosterAuthority && tickets && { authority: rosterAuthority, tickets }
  return [
    ...webhookActions(webhooks),
    ...tagActions(backend.history),
    ...storeActions(backend),
    ...retentionActions(backend.retention),
    ...seedActions({ seedSets, board }),
    ...apiKeyActions({ peerId, rosters, authority: rosterAuthority, now: Date.now }),
    ...membershipActions({ rosters, bySecret: membership.admission !== 'ticket', seed })
  ]
}

export { listUsers, removeUser, setUser } from '@layermesh/access/basics'
export type { GarbageReport } from '@layermesh/content'
export type { PeerSummary, TransferSummary } from '@layermesh/mesh'
export {
  createKeyFile,
  formatSeedSet,
  loadKeyFile,
  loadOrCreateKey,
  openSeedSet,
  parseSeedSet,
  peerIdOf,
  type SeedGrant,
  type SeedSet,
  sealSeedSet
} from '@layermesh/trust'
export type { EndpointState as WebhookState, TestResult as WebhookTestResult } from '@layermesh/webhooks'
export { checkAccessFiles } from './access/access-files.ts'
export type { ApiKeySummary } from './access/api-key-actions.ts'
export { ADMIN_TOKEN_FILE } from './admin/admin-token.ts'
export type { NewTicket, PeerRevocation, RevokedPeer, TicketSummary } from './admin/membership-actions.ts'
export type { RetentionResult } from './admin/retention-actions.ts'
export type { PublishedSeedSet } from './admin/seed-actions.ts'
export type { PinnedImage } from './admin/store-actions.ts'
export type { TagChange } from './admin/tag-actions.ts'
export type { VerifyEvent } from './admin/verify-action.ts'
export type * from './admin/view.ts'
export * from './config/index.ts'
export { createLog, type Logger } from './log.ts'
export { METRICS, type MetricDefinition } from './metrics-table.ts'
export { type RunningNode, startNode } from './node.ts'
export { type NodeInfo, readNodeFile } from './node-file.ts'
export type { BadBlob, VerifyCount } from './store/verifier.ts'
export type { Recovery as TagRecovery } from './tags/tag-history.ts'
export { checkUpstreamFiles } from './upstreams/check-upstream-files.ts'
export { VERSION } from './version.ts'
export { checkWebhookFiles } from './webhooks/check-files.ts'

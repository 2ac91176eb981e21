import type { ContentStore } from '@layermesh/content'
import { loadOrCreateKey, type PrivateKey, peerIdOf, type TrustGrant, TrustPolicy } from '@layermesh/trust'
import type { NodeConfig } from './config/node-config.ts'
import type { Logger } from './log.ts'
import { NodeMembership } from './membership/node-membership.ts'
import type { NodeMetrics } from './metrics.ts'
import { createNotices, type NodeNotices } from './notices/notices.ts'
import { offerSeedSetFile } from './seed-set/seed-set-file.ts'
import { SeedSets } from './seed-set/seed-sets.ts'
import type { Teardown } from './teardown.ts'

/** Who a node is, and whom it trusts to sign. */
export interface NodeIdentity {
  readonly privateKey: PrivateKey
  readonly peerId: string
  readonly trust: TrustPolicy
  /** Undefined where the settings name no root key. */
  readonly seedSets: SeedSets | undefined
}

/**
 * Reads the key of the node, making it when there is none.
 * @param mirrorsHost whether a registry is mirrored here
 * @throws {TrustError} for a key or trust setting
 */
export async function openIdentity(config: NodeConfig, mirrorsHost: (host: string) => boolean): Promise<NodeIdentity> {
  const privateKey = await loadOrCreateKey(config.dataDir)
  const peerId = peerIdOf(privateKey)
  const grants = trustGrants(config, peerId)
  const trust = new TrustPolicy(
    grants.map((grant) => (grant.repositories === undefined ? { ...grant, mirrors: mirrorsHost } : grant))
  )
  const { root } = config.seedSet
  return { privateKey, peerId, trust, seedSets: root === undefined ? undefined : new SeedSets({ root, trust }) }
}

/** The signed documents that all nodes hold, and who may be in the mesh by them. */
export interface NodeTrust extends NodeNotices {
  readonly membership: NodeMembership
}

export interface NodeTrustComponents {
  readonly identity: NodeIdentity
  readonly content: ContentStore
  readonly metrics: NodeMetrics
  readonly log: Logger
  readonly started: Teardown
}

/** @throws {ConfigError} for a secret, a ticket or a seed set that can't be used */
export async function openNodeTrust(
  { identity, content, metrics, log, started }: NodeTrustComponents,
  config: NodeConfig
): Promise<NodeTrust> {
  const { peerId, trust } = identity
  const notices = await createNotices({ store: content.notices, ...identity, metrics, log }, config)
  const { board, rosters } = notices
  if (config.seedSet.file !== undefined) await offerSeedSetFile(config.seedSet.file, board)
  const membership = await NodeMembership.open({ peerId, rosters, trust, board, log, now: Date.now }, config.mesh)
  started.add(() => membership.stop())
  return { ...notices, membership }
}

/** A seed trusts itself for everything, unless the operator said for which repositories it may sign. */
function trustGrants(config: NodeConfig, peerId: string): readonly TrustGrant[] {
  const named = config.trust.some((grant) => grant.peerId === peerId)
  return config.role === 'seed' && !named ? [...config.trust, { peerId, byDefault: true }] : config.trust
}

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type ContentStore, openContentStore } from '@layermesh/content'
import { Mesh, type MeshObserver } from '@layermesh/mesh'
import type { Digest } from '@layermesh/oci'
import { loadOrCreateKey, openTrustedTagRecord, peerIdOf, type TrustGrant, TrustPolicy } from '@layermesh/trust'
import { apiKeyActions } from './access/api-key-actions.ts'
import { openNodeAccess } from './access/open-node-access.ts'
import type { AdminActionEvent } from './admin/action.ts'
import { createAdmin } from './admin/admin.ts'
import { loadOrCreateAdminToken } from './admin/admin-token.ts'
import { membershipActions } from './admin/membership-actions.ts'
import { seedActions } from './admin/seed-actions.ts'
import { tagActions } from './admin/tag-actions.ts'
import { webhookActions } from './admin/webhook-actions.ts'
import { createBackend, type NodeBackend } from './backend/backend.ts'
import type { NodeConfig } from './config/node-config.ts'
import { closeServer, listen } from './listening.ts'
import type { Logger } from './log.ts'
import { ConnectionRefusals } from './membership/connection-refusals.ts'
import { NodeMembership } from './membership/node-membership.ts'
import { meshLogger } from './mesh-logger.ts'
import { NodeMetrics } from './metrics.ts'
import type { NodeEvents } from './node-events.ts'
import { type NodeInfo, removeNodeFile, writeNodeFile } from './node-file.ts'
import { LiveView } from './node-view.ts'
import { createNotices } from './notices/notices.ts'
import { type OpenedNodeEvents, openNodeEvents } from './open-node-events.ts'
import { type RegistryListeners, startRegistryListeners } from './registry-listeners.ts'
import { offerSeedSetFile } from './seed-set/seed-set-file.ts'
import { SeedSetWatch } from './seed-set/seed-set-watch.ts'
import { SeedSets } from './seed-set/seed-sets.ts'
import { Refusals, reasonOf } from './tags/refusals.ts'
import { Teardown } from './teardown.ts'
import { VERSION } from './version.ts'

/** A node that runs. */
export interface RunningNode {
  /** Where it can be reached. */
  readonly info: NodeInfo
  /** Goes on with new files where files of logs were moved away. */
  reopenLogs(): Promise<void>
  /** Has the rules and groups of another configuration count from now on; what else it says takes a restart. */
  setAccessRules(config: Pick<NodeConfig, 'access'>): void
  /** Stops accepting, gives what is in flight until `signal` aborts to finish, and lets go of everything. */
  stop(signal?: AbortSignal): Promise<void>
}

/** How long connections in use may go on after a stop was asked for, when nothing else says so. */
const STOP_GRACE_MS = 5_000

/**
 * Starts a node: key, store, mesh, registry and admin listener, in this order, so that nothing answers before it can.
 * What was started is stopped again when a later part fails.
 *
 * @throws {ConfigError} for a secret or ticket that can't be used; {TrustError} for a key or trust setting; system errors for
 *   ports that are taken and directories that can't be written
 */
export async function startNode(config: NodeConfig, components: { log: Logger }): Promise<RunningNode> {
  const started = new Teardown()
  try {
    return await startParts(config, components.log, started)
  } catch (error) {
    await started.run().catch(() => {})
    throw error
  }
}

async function startParts(config: NodeConfig, log: Logger, started: Teardown): Promise<RunningNode> {
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 })
  const privateKey = await loadOrCreateKey(config.dataDir)
  const peerId = peerIdOf(privateKey)
  const trust = new TrustPolicy(trustGrants(config, peerId))
  const content = await openStore(config, log)
  started.add(() => content.close())
  const metrics: NodeMetrics = new NodeMetrics(
    {
      connectedPeers: () => mesh.connected().length,
      storeBytes: () => content.blobs.usedBytes(),
      arrivingBlobs: () => content.downloads.list().length,
      seedSetExpiresAt: () => seedSets?.current?.set.expiresAt,
      tlsCertificateExpiresAt: () => registry.certificateExpiresAt(),
      pendingWebhooks: () => webhooks?.counts() ?? []
    },
    { version: VERSION, role: config.role, zone: config.zone }
  )
  const { root } = config.seedSet
  const seedSets = root === undefined ? undefined : new SeedSets({ root, trust })
  const { board, rosters, rosterAuthority, tickets } = await createNotices(
    { store: content.notices, peerId, privateKey, trust, seedSets, metrics, log },
    config
  )
  if (config.seedSet.file !== undefined) await offerSeedSetFile(config.seedSet.file, board)
  const membership = await NodeMembership.open({ peerId, rosters, trust, board, log, now: Date.now }, config.mesh)
  started.add(() => membership.stop())
  const refusals = new Refusals({
    log,
    count: (reason) => metrics.tagRecordRefused(reason),
    now: () => performance.now()
  })
  const context = () => ({ peerId, registryUrl: config.registry.publicUrl ?? registry.url })
  const announce = (digest: Digest) => mesh.announce(digest)
  const { events, webhooks, audit }: OpenedNodeEvents = await openNodeEvents(config, {
    peerId,
    metrics,
    log,
    announce,
    context,
    started
  })
  const mesh: Mesh = await Mesh.create(
    {
      content,
      privateKey,
      membership,
      board,
      log,
      observer: observeMesh(metrics, events, log, (peerId) => {
        if (trust.signers().includes(peerId)) backend.authority?.renewSoon()
      }),
      openTrustedRecord: (envelope) => openFromDht(envelope, trust, refusals),
      mayVouch: (signer) => signer === peerId || trust.signers().includes(signer),
      seeds: () => trust.signers().filter((signer) => signer !== peerId),
      logger: meshLogger(log)
    },
    {
      directory: join(config.dataDir, 'libp2p'),
      listen: config.mesh.listen,
      announce: config.mesh.announce,
      join: config.mesh.join,
      maxPeers: config.mesh.maxPeers,
      self: { version: VERSION, role: config.role, zone: config.zone },
      findWithinMs: config.pull.deadlineMs,
      limits: config.limits
    }
  )
  const access = await openNodeAccess(
    {
      peerId,
      privateKey,
      trust,
      rosters,
      client: mesh.tags,
      connected: () => mesh.connected(),
      log,
      onLogin: (event) => events.login(event)
    },
    config
  )
  started.add(() => access?.close())
  const backend: NodeBackend = createBackend({
    config,
    content,
    mesh,
    trust,
    privateKey,
    peerId,
    metrics,
    log,
    events,
    refusals,
    ...(access === undefined ? {} : { access: access.control }),
    ...(access === undefined || config.role !== 'seed' ? {} : { tokens: access.tokenIssuer })
  })
  started.add(() => mesh.stop())
  await mesh.start(backend.tagHandler)
  backend.images?.start()
  started.add(() => backend.images?.stop())
  backend.authority?.start()
  started.add(() => backend.authority?.stop())
  if (seedSets) {
    const watch = new SeedSetWatch({ peerId, role: config.role, seedSets, trust, log, now: Date.now })
    watch.start()
    started.add(() => watch.stop())
    seedSets.onChange(() => backend.authority?.renewSoon())
  }
  rosterAuthority?.start()
  started.add(() => rosterAuthority?.stop())

  const registry: RegistryListeners = await startRegistryListeners(
    {
      backend: backend.registry,
      events,
      privateKey,
      log,
      ...(access === undefined ? {} : { access: access.control, tokenEndpoint: access.tokenEndpoint })
    },
    config
  )
  started.add(() => registry.close(AbortSignal.timeout(0)))
  webhooks?.start()
  const view = new LiveView({
    config,
    content,
    mesh,
    records: backend.records,
    puller: backend.puller,
    registryUrl: registry.url,
    mirrorUrl: registry.mirrorUrl
  })
  await view.start()
  started.add(() => view.stop())
  const token = await loadOrCreateAdminToken(config.dataDir)
  const seed = rosterAuthority && tickets && { authority: rosterAuthority, tickets }
  const actions = [
    ...webhookActions(webhooks),
    ...tagActions(backend.history),
    ...seedActions({ seedSets, board }),
    ...apiKeyActions({ peerId, rosters, authority: rosterAuthority, now: Date.now }),
    ...membershipActions({ rosters, bySecret: membership.admission !== 'ticket', seed })
  ]
  const onAction = (event: AdminActionEvent) => events.adminAction(event)
  const adminApp = createAdmin(
    { view, metrics, log, actions, onAction },
    { ...config.admin, token, tokenForViews: config.access !== undefined }
  )
  const admin = await listen(adminApp, config.admin.listen)
  started.add(() => closeServer(admin.server, AbortSignal.timeout(0)))

  const info: NodeInfo = {
    pid: process.pid,
    peerId,
    registry: registry.url,
    ...(registry.mirrorUrl === undefined ? {} : { mirror: registry.mirrorUrl }),
    admin: admin.url,
    meshAddresses: mesh.addresses
  }
  await writeNodeFile(config.dataDir, info)
  started.add(() => removeNodeFile(config.dataDir))
  log.info({ ...info, role: config.role, zone: config.zone, version: VERSION }, 'ready')

  return {
    info,
    setAccessRules: ({ access: given }) => {
      if (access === undefined || given === undefined) return
      access.setRules(given)
      log.info({ rules: given.rules.length }, 'took other rules of access')
    },
    reopenLogs: async () => await audit?.reopen(),
    stop: async (signal = AbortSignal.timeout(STOP_GRACE_MS)) => {
      log.info({}, 'stopping')
      await Promise.all([registry.close(signal), closeServer(admin.server, signal)])
      await started.run()
      log.info({}, 'stopped')
    }
  }
}

/** A seed trusts itself for the mesh's own repositories, unless the operator said for which it may sign. */
function trustGrants(config: NodeConfig, peerId: string): readonly TrustGrant[] {
  const named = config.trust.some((grant) => grant.peerId === peerId)
  return config.role === 'seed' && !named ? [...config.trust, { peerId, byDefault: true }] : config.trust
}

/** Opens a tag record that the DHT has, or is to keep. @throws {TrustError} */
async function openFromDht(envelope: Uint8Array, trust: TrustPolicy, refusals: Refusals) {
  try {
    return (await openTrustedTagRecord(envelope, trust)).record
  } catch (error) {
    refusals.refused({ reason: reasonOf(error), from: 'dht' })
    throw error
  }
}

function openStore(config: NodeConfig, log: Logger): Promise<ContentStore> {
  return openContentStore(join(config.dataDir, 'content'), {
    minFreeBytes: config.store.minFreeBytes,
    maxUploads: config.uploads.maxSessions,
    uploadIdleMs: config.uploads.idleTimeoutMs,
    onCorrupt: ({ digest, pieces }) =>
      log.error(
        { digest, pieces },
        'the disk holds other bytes than were stored; fetching them anew when they are asked for'
      )
  })
}

function observeMesh(
  metrics: NodeMetrics,
  events: NodeEvents,
  log: Logger,
  onConnected: (peerId: string) => void
): MeshObserver {
  const refusals = new ConnectionRefusals({
    count: (reason) => metrics.connectionRefused(reason),
    log,
    now: () => performance.now()
  })
  return {
    received: ({ scope, bytes }) => metrics.received('peer', scope, bytes),
    sent: ({ scope, bytes }) => metrics.sent('peer', scope, bytes),
    pieceFailed: ({ peerId, digest, piece, reason }) => {
      metrics.pieceFailure(reason)
      log.warn({ peerId, digest, piece, reason }, 'a peer did not deliver a piece as it should')
    },
    banned: (ban) => {
      metrics.peerBanned(ban.reason)
      events.peerBanned(ban)
    },
    refused: (refusal) => refusals.refused(refusal),
    providerFound: ({ elapsedMs }) => metrics.providerFound(elapsedMs / 1000),
    peerConnected: (peerId) => {
      log.debug({ peerId }, 'a peer connected')
      onConnected(peerId)
    },
    peerDisconnected: (peerId) => log.debug({ peerId }, 'a peer disconnected')
  }
}

import { mkdir } from 'node:fs/promises'
import type { Mesh } from '@layermesh/mesh'
import { openNodeAccess } from './access/open-node-access.ts'
import { startAdmin } from './admin/start-admin.ts'
import { createBackend, type NodeBackend } from './backend/backend.ts'
import type { NodeConfig } from './config/node-config.ts'
import type { Logger } from './log.ts'
import { NodeMetrics } from './metrics.ts'
import { openMirrors } from './mirror/open-mirrors.ts'
import { type NodeInfo, removeNodeFile, writeNodeFile } from './node-file.ts'
import { createNodeMesh } from './node-mesh.ts'
import { openIdentity, openNodeTrust } from './node-trust.ts'
import { LiveView } from './node-view.ts'
import { type OpenedNodeEvents, openNodeEvents } from './open-node-events.ts'
import { openPrefetch } from './prefetch/open-prefetch.ts'
import { type RegistryListeners, startRegistryListeners } from './registry-listeners.ts'
import { SeedSetWatch } from './seed-set/seed-set-watch.ts'
import { openSharedContent } from './store/open-shared-content.ts'
import { openStore, type StoreWatchers } from './store/open-store.ts'
import { Refusals } from './tags/refusals.ts'
import { Teardown } from './teardown.ts'
import { checkUpstreamFiles } from './upstreams/check-upstream-files.ts'
import { openNodeUpstreams } from './upstreams/open-node-upstreams.ts'
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

/** All parts of a node but those that listen for clients. */
type Parts = Awaited<ReturnType<typeof startMesh>>

/** The listeners for clients, which the other parts are asked about once they are there. */
interface Faces {
  registry?: RegistryListeners
}

async function startParts(config: NodeConfig, log: Logger, started: Teardown): Promise<RunningNode> {
  const faces: Faces = {}
  const parts = await startMesh(config, log, started, faces)
  return await startListeners(config, log, started, parts, faces)
}

async function startMesh(config: NodeConfig, log: Logger, started: Teardown, faces: Faces) {
  const { role, zone } = config
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 })
  await checkUpstreamFiles(config)
  const upstreams = openNodeUpstreams({ log, metrics: () => metrics }, config)
  started.add(() => upstreams.close())
  const mirrors = await openMirrors({ upstreams, log, started }, config)
  const identity = await openIdentity(config, (host) => mirrors.mirrors.mirrors(host))
  const { peerId, privateKey, trust, seedSets } = identity
  const storeWatchers: StoreWatchers = {}
  const content = await openStore(config, log, storeWatchers)
  started.add(() => content.close())
  const metrics: NodeMetrics = new NodeMetrics(
    {
      connectedPeers: () => mesh.connected().length,
      storeBytes: () => content.blobs.usedBytes(),
      storeSpace: () => content.space(),
      pinnedBytes: () => content.pins.bytes(),
      arrivingBlobs: () => content.downloads.list().length,
      seedSetExpiresAt: () => seedSets?.current?.set.expiresAt,
      tlsCertificateExpiresAt: () => faces.registry?.certificateExpiresAt(),
      pendingWebhooks: () => webhooks?.counts() ?? []
    },
    { version: VERSION, role, zone }
  )
  storeWatchers.metrics = metrics
  const trusted = await openNodeTrust({ identity, content, metrics, log, started }, config)
  const opened: OpenedNodeEvents = await openNodeEvents(config, {
    peerId,
    metrics,
    log,
    announce: (digest) => mesh.announce(digest),
    context: () => ({ peerId, registryUrl: config.registry.publicUrl ?? faces.registry?.url ?? '' }),
    started
  })
  const { events, webhooks } = opened
  const refusals = new Refusals({
    log,
    count: (reason) => metrics.tagRecordRefused(reason),
    now: () => performance.now()
  })
  const renewSoon = () => backend.authority?.renewSoon()
  const mesh: Mesh = await createNodeMesh(
    { identity, trusted, content, metrics, events, refusals, log, onSignerConnected: renewSoon },
    config
  )
  storeWatchers.mesh = mesh
  const access = await openNodeAccess(
    {
      peerId,
      privateKey,
      trust,
      rosters: trusted.rosters,
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
    mirrors,
    ...(access && { access: access.control }),
    ...(access && role === 'seed' && { tokens: access.tokenIssuer })
  })
  storeWatchers.tags = backend.forgettable
  started.add(() => mesh.stop())
  const prefetching = openPrefetch({ mesh, puller: backend.puller, trust, log }, config)
  started.add(() => prefetching.stop())
  await mesh.start(backend.tagHandler, prefetching.service)
  const watch = seedSets && new SeedSetWatch({ peerId, role, seedSets, trust, log, now: Date.now })
  seedSets?.onChange(renewSoon)
  const { images, authority, retention, garbage, verifier } = backend
  const shared = await openSharedContent({ content, mesh, log })
  for (const part of [images, authority, retention, watch, trusted.rosterAuthority, garbage, verifier, shared]) {
    part?.start()
    started.add(() => part?.stop())
  }
  const { prefetcher } = prefetching
  return { identity, trusted, content, metrics, mesh, access, backend, prefetcher, upstreams, ...opened }
}

async function startListeners(
  config: NodeConfig,
  log: Logger,
  started: Teardown,
  parts: Parts,
  faces: Faces
): Promise<RunningNode> {
  const { identity, content, mesh, access, backend, events, webhooks, audit } = parts
  const registry = await startRegistryListeners(
    {
      backend: backend.registry,
      events,
      privateKey: identity.privateKey,
      log,
      ...(access && { access: access.control, tokenEndpoint: access.tokenEndpoint })
    },
    config
  )
  faces.registry = registry
  started.add(() => registry.close(AbortSignal.timeout(0)))
  webhooks?.start()
  const { records, puller } = backend
  const { url: registryUrl, mirrorUrl } = registry
  const view = new LiveView({ config, content, mesh, records, puller, registryUrl, mirrorUrl })
  await view.start()
  started.add(() => view.stop())
  const admin = await startAdmin({ ...parts, view, log }, config)
  started.add(() => admin.close(AbortSignal.timeout(0)))

  const info: NodeInfo = {
    pid: process.pid,
    peerId: identity.peerId,
    registry: registryUrl,
    ...(mirrorUrl !== undefined && { mirror: mirrorUrl }),
    admin: admin.url,
    meshAddresses: mesh.addresses
  }
  await writeNodeFile(config.dataDir, info)
  started.add(() => removeNodeFile(config.dataDir))
  log.info({ ...info, role: config.role, zone: config.zone, version: VERSION }, 'ready')

  return {
    info,
    setAccessRules: ({ access: given }) => {
      if (access === undefined || given === undefined) {
        if (access !== given)
          log.warn({}, 'access control was put in or taken out of the settings: that takes a restart')
        return
      }
      access.setRules(given)
      log.info({ rules: given.rules.length }, 'took other rules of access')
    },
    reopenLogs: async () => await audit?.reopen(),
    stop: async (signal = AbortSignal.timeout(STOP_GRACE_MS)) => {
      log.info({}, 'stopping')
      await Promise.all([registry.close(signal), admin.close(signal)])
      await started.run()
      log.info({}, 'stopped')
    }
  }
}

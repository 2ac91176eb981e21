import { join } from 'node:path'
import {
  type ContentStore,
  type ContentStoreOptions,
  openContentStore,
  type Removal,
  type StoreSpace
} from '@layermesh/content'
import { type Digest, type Repository, registryHostOf } from '@layermesh/oci'
import type { NodeConfig } from '../config/node-config.ts'
import type { Logger } from '../log.ts'
import type { NodeMetrics } from '../metrics.ts'

/** Who is told of what the store removes, and asked what it may forget, from when they are there on. */
export interface StoreWatchers {
  metrics?: Pick<NodeMetrics, 'removed'>
  /** Tells others no more that this node has a blob. */
  mesh?: { withdraw(digest: Digest): Promise<void> }
  tags?: { readonly mayForget: ContentStoreOptions['mayForgetTag'] }
}

/** Opens the content store as the settings say. @throws {ContentError} STORE_IN_USE, STORE_FORMAT, DISK_FULL */
export function openStore(config: NodeConfig, log: Logger, watchers: StoreWatchers): Promise<ContentStore> {
  const { store, uploads, role } = config
  return openContentStore(join(config.dataDir, 'content'), {
    minFree: store.minFree,
    keepFree: store.keepFree,
    maxSize: store.maxSize,
    highWatermark: store.highWatermark,
    lowWatermark: store.lowWatermark,
    leaseMs: store.leaseMs,
    garbageGraceMs: store.garbage.graceMs,
    partialIdleMs: store.garbage.unfinishedAfterMs,
    // What is in the mesh's own repositories others may have, or not: a seed is where it must be.
    retains: (repository: Repository) => role === 'seed' && registryHostOf(repository) === undefined,
    mayForgetTag: async (entry) => (await watchers.tags?.mayForget(entry)) ?? false,
    containerd: store.containerd,
    maxUploads: uploads.maxSessions,
    uploadIdleMs: uploads.idleTimeoutMs,
    onCorrupt: ({ digest, pieces }) =>
      log.error(
        { digest, pieces },
        'the disk holds other bytes than were stored; fetching them anew when they are asked for'
      ),
    onRemoved: (removal) => removed(removal, log, watchers),
    onFull: (space) => tellFull(space, log),
    onScarce: (isScarce, space) => tellScarce(isScarce, space, log),
    onUpkeepFailed: (error) => log.warn({ err: error }, 'the store could not be looked after; trying again')
  })
}

function removed(removal: Removal, log: Logger, { metrics, mesh }: StoreWatchers): void {
  log.debug({ ...removal }, 'removed content from the store')
  metrics?.removed(removal)
  // Records that the DHT keeps run out by themselves.
  mesh?.withdraw(removal.digest).catch((error) => log.debug({ err: error }, 'a blob could not be withdrawn'))
}

function tellScarce(isScarce: boolean, { freeBytes, usedBytes }: StoreSpace, log: Logger): void {
  const figures = { freeBytes, usedBytes }
  if (!isScarce) return log.info(figures, 'the disk has as much free space again as store.keepFree says')
  log.warn(
    figures,
    'the disk has less free space than store.keepFree says, and nothing more in the store can be spared: what is pulled stays no longer than it is in use'
  )
}

function tellFull(space: StoreSpace, log: Logger): void {
  const { full, ...figures } = space
  if (!full) return log.info(figures, 'the store has space again')
  log.warn(
    figures,
    'the store is full, and nothing in it can be spared: it is pinned, in use, or kept for others; more is refused until there is space'
  )
}

import type { Mesh } from '@layermesh/mesh'
import type { TrustPolicy } from '@layermesh/trust'
import type { NodeConfig } from '../config/node-config.ts'
import type { ImagePuller } from '../image-puller.ts'
import type { Logger } from '../log.ts'
import { PrefetchJobs } from './prefetch-jobs.ts'
import { PrefetchService } from './prefetch-service.ts'
import { Prefetcher } from './prefetcher.ts'

export interface OpenPrefetchComponents {
  readonly mesh: Mesh
  readonly puller: ImagePuller
  readonly trust: TrustPolicy
  readonly log: Logger
}

/** Fetching images for other nodes, and having them fetch. */
export interface NodePrefetching {
  readonly service: PrefetchService
  readonly prefetcher: Prefetcher
  stop(): Promise<void>
}

export function openPrefetch(
  { mesh, puller, trust, log }: OpenPrefetchComponents,
  { zone, role, mesh: { prefetchFrom } }: NodeConfig
): NodePrefetching {
  const jobs = new PrefetchJobs({
    pull: (reference, onProgress, signal, platform) => puller.pull(reference, onProgress, signal, platform)
  })
  const isSeed = (peerId: string) => trust.isSigner(peerId)
  return {
    service: new PrefetchService({ jobs, isSeed, log }, { from: prefetchFrom }),
    prefetcher: new Prefetcher({
      self: { peerId: mesh.peerId, zone, role },
      client: mesh.prefetches,
      jobs,
      connected: () => mesh.peers(),
      members: (signal) => mesh.members(signal)
    }),
    stop: () => jobs.stop()
  }
}

import type { ContentStore } from '@layermesh/content'
import type { Mesh } from '@layermesh/mesh'
import type { Repository } from '@layermesh/oci'
import type { RegistryMirrors } from '@layermesh/registry'
import type { FreshnessPolicy, TrustPolicy } from '@layermesh/trust'
import type { Logger } from '../log.ts'
import { ClientRights } from '../mirror/client-rights.ts'
import { DefaultRegistry } from '../mirror/default-registry.ts'
import { MirroredBlobs } from '../mirror/mirrored-blobs.ts'
import { MirroredContent } from '../mirror/mirrored-content.ts'
import { MirroredLists } from '../mirror/mirrored-lists.ts'
import { MirroredManifests } from '../mirror/mirrored-manifests.ts'
import type { OpenedMirrors } from '../mirror/open-mirrors.ts'
import { DirectTags } from '../tags/direct-tags.ts'
import type { FetchFromMesh } from './pulls.ts'
import type { SeedRouter } from './seed-router.ts'

export interface MirroringComponents {
  readonly opened: OpenedMirrors
  readonly content: ContentStore
  readonly mesh: Pick<Mesh, 'expect' | 'tags'>
  readonly trust: TrustPolicy
  readonly router: SeedRouter
  readonly fetch: FetchFromMesh
  /** For blobs that are only read: it may find them on this host, in another store than the node's own. */
  readonly fetchForReading: FetchFromMesh
  freshnessOf(repository: Repository): FreshnessPolicy
  readonly log: Logger
}

/** Wires the parts of a node that answer for other registries; starts nothing. */
export function createMirroring({
  opened: { mirrors, defaultHost, directTags, publicRepositories },
  content,
  mesh,
  trust,
  router,
  fetch,
  fetchForReading,
  freshnessOf,
  log
}: MirroringComponents) {
  const origins = new MirroredContent({ log })
  const shared = { mirrors, origins, content, router, fetch, log }
  const rights = new ClientRights({
    mirrors,
    publicOnes: publicRepositories,
    someManifest: async (repository) => (await content.repositories.manifests(repository))[0]?.digest,
    maxStaleMsOf: (repository) => freshnessOf(repository).maxStaleMs,
    log,
    now: Date.now
  })
  const defaultRegistry = new DefaultRegistry({
    host: defaultHost,
    trust,
    isHere: (repository) => content.repositories.exists(repository),
    isAtSeeds: (repository) => isAtSeeds({ router, client: mesh.tags }, repository),
    now: () => performance.now()
  })
  const registry: RegistryMirrors = {
    hostOf: (repository) => mirrors.hostOf(repository),
    alternative: (own) => defaultRegistry.alternative(own),
    hasOwn: (own) => defaultRegistry.hasOwn(own),
    wasPulled: (repository) => content.repositories.exists(repository),
    admits: (question) => rights.admits(question)
  }
  return {
    mirrors,
    registry,
    directTags: new DirectTags({ mirrors, kept: directTags, log, now: Date.now }),
    manifests: new MirroredManifests({ ...shared, expect: (digests, like) => mesh.expect(digests, like) }),
    blobs: new MirroredBlobs({ ...shared, fetch: fetchForReading }),
    lists: new MirroredLists({ mirrors, log })
  }
}

/** Whether any seed that may sign for the repository has it; undefined when none of them answers. */
async function isAtSeeds(
  { router, client }: { router: SeedRouter; client: Mesh['tags'] },
  repository: Repository
): Promise<boolean | undefined> {
  if (router.isSoleAuthority(repository)) return false
  const signal = AbortSignal.timeout(SEEDS_DEADLINE_MS)
  const answers = await router.ask(repository, (seed) => client.listTags(seed, repository, { limit: 1 }, signal))
  if (answers.some(({ names }) => names !== undefined)) return true
  return answers.length > 0 || router.isAuthority(repository) ? false : undefined
}

const SEEDS_DEADLINE_MS = 1_000

import type { ContentStore } from '@layermesh/content'
import type { Mesh } from '@layermesh/mesh'
import type { Repository, Tag } from '@layermesh/oci'
import type { RegistryAccess, RegistryBackend } from '@layermesh/registry'
import type { PrivateKey, TrustPolicy } from '@layermesh/trust'
import type { NodeConfig } from '../config/node-config.ts'
import { ImageWatch } from '../distribution/image-watch.ts'
import { ZoneWatch } from '../distribution/zone-watch.ts'
import { ImagePuller } from '../image-puller.ts'
import type { Logger } from '../log.ts'
import type { NodeMetrics } from '../metrics.ts'
import type { OpenedMirrors } from '../mirror/open-mirrors.ts'
import type { NodeEvents } from '../node-events.ts'
import { Retention } from '../retention/retention.ts'
import { RetentionRules } from '../retention/retention-rules.ts'
import { Garbage } from '../store/garbage.ts'
import { ImagePins } from '../store/image-pins.ts'
import { refetch } from '../store/refetch.ts'
import { Verifier } from '../store/verifier.ts'
import { ForgettableTags } from '../tags/forgettable-tags.ts'
import { freshnessPolicies } from '../tags/freshness-policies.ts'
import { ImmutableTags } from '../tags/immutable-tags.ts'
import { OtherSeeds } from '../tags/other-seeds.ts'
import type { Refusals } from '../tags/refusals.ts'
import { SeedSync } from '../tags/seed-sync.ts'
import { TagAuthority } from '../tags/tag-authority.ts'
import { NodeTagHandler, type TokenIssuer } from '../tags/tag-handler.ts'
import { TagHistory } from '../tags/tag-history.ts'
import { TagPublisher } from '../tags/tag-publisher.ts'
import { TagRecords } from '../tags/tag-records.ts'
import { TagResolver } from '../tags/tag-resolver.ts'
import { UpstreamTags } from '../tags/upstream-tags.ts'
import { MeshBlobs } from './blobs.ts'
import { Deletions } from './deletions.ts'
import { LeasedManifests } from './leased-manifests.ts'
import { Lists } from './lists.ts'
import { MeshManifests } from './manifests.ts'
import { createMirroring } from './mirroring.ts'
import type { FetchFromMesh } from './pulls.ts'
import { PushService } from './push-service.ts'
import { SeedRouter } from './seed-router.ts'
import { MeshTags } from './tags.ts'

export interface BackendComponents {
  readonly config: NodeConfig
  readonly content: ContentStore
  readonly mesh: Mesh
  readonly trust: TrustPolicy
  readonly privateKey: PrivateKey
  readonly peerId: string
  readonly metrics: NodeMetrics
  readonly log: Logger
  readonly refusals: Refusals
  /** Who may do what; without it everybody may do everything. */
  readonly access?: RegistryAccess
  readonly tokens?: TokenIssuer
  /** The registries that are mirrored; without it none are. */
  readonly mirrors?: OpenedMirrors
  /** Told of what this node does for clients of others, and of the tags that it signs. */
  readonly events: Pick<
    NodeEvents,
    'passedOn' | 'tagChanged' | 'manifestExpired' | 'imageDistributed' | 'wantsDistributions'
  >
}

/** What stands between the registry's API and the mesh. */
export interface NodeBackend {
  readonly registry: RegistryBackend
  readonly tagHandler: NodeTagHandler
  readonly records: TagRecords
  readonly puller: ImagePuller
  /** Only on a seed. */
  readonly authority: TagAuthority | undefined
  readonly history: TagHistory
  readonly forgettable: ForgettableTags
  /** Only on a node that is no seed. */
  readonly images: ImageWatch | undefined
  readonly garbage: Garbage
  readonly pins: ImagePins
  readonly verifier: Verifier
  /** Only on a seed with rules. */
  readonly retention: Retention | undefined
}

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

/** Wires the parts that answer clients and peers; starts nothing. */
export function createBackend({
  config,
  content,
  mesh,
  trust,
  privateKey,
  peerId,
  metrics,
  log,
  refusals,
  access,
  tokens,
  events,
  mirrors: opened
}: BackendComponents): NodeBackend {
  const connected = () => mesh.connected()
  const fetch: FetchFromMesh = (digest, request, signal) => mesh.fetch(digest, request, signal)
  const fetchForReading: FetchFromMesh = async (digest, request, signal) =>
    (await content.shared?.open(digest)) ?? (await fetch(digest, request, signal))
  const onPull = metrics.pull.bind(metrics)
  const mirroredFrom = (repository: Repository) => opened?.mirrors.hostOf(repository)
  const isMirrored = (repository: Repository) => mirroredFrom(repository) !== undefined
  const freshnessOf = freshnessPolicies(config.freshness, isMirrored)
  const records: TagRecords = new TagRecords({
    tags: content.tags,
    trust,
    now: Date.now,
    onRefused: (refusal) => refusals.refused(refusal),
    peerId,
    onForeignUse: (use) => refusals.foreignUse(use),
    isMirrored,
    keepsHistory: (repository) => config.role === 'seed' && trust.maySign(peerId, repository)
  })
  const rules = new RetentionRules(config.retention.rules)
  // A manifest that is about to expire must not be pushed anew, or named by an index, at that moment.
  const immutable = new ImmutableTags(
    config.tags.immutable,
    (repository) => rules.untaggedAfterMs(repository) !== undefined
  )
  const others = new OtherSeeds({ peerId, trust, client: mesh.tags, records, connected })
  const publisher = new TagPublisher({ client: mesh.tags, directory: mesh.tagDirectory, log })
  const authority =
    config.role === 'seed'
      ? new TagAuthority(
          {
            peerId,
            privateKey,
            records,
            tags: content.tags,
            trust,
            immutable,
            mirroredFrom,
            others,
            sync: new SeedSync({ peerId, trust, client: mesh.tags, records, connected }),
            publish: (repository: Repository, tag: Tag, envelope) => publisher.publish(repository, tag, envelope),
            onChange: (change) => events.tagChanged(change),
            onRenewalFailed: (error) => log.error({ err: error }, 'tag records could not be signed anew'),
            now: Date.now
          },
          {
            validityMs: config.tags.validityMs,
            renewAfterMs: 5 * MINUTE_MS,
            sweepEveryMs: HOUR_MS,
            sweepAfterMs: 6 * HOUR_MS,
            sweepPauseMs: 10
          }
        )
      : undefined
  const router = new SeedRouter({
    peerId,
    trust,
    client: mesh.tags,
    connected,
    confirm: (question, signal) => mesh.confirm(question, signal)
  })
  const mirroring =
    opened && createMirroring({ opened, content, mesh, trust, router, fetch, fetchForReading, freshnessOf, log })
  const upstream =
    mirroring &&
    authority &&
    new UpstreamTags({
      peerId,
      mirrors: mirroring.mirrors,
      authority,
      records,
      immutable,
      bring: (mirrored, digest, signal) => mirroring.manifests.require(mirrored, digest, signal),
      freshnessOf,
      log,
      now: Date.now
    })
  const resolver = new TagResolver({
    peerId,
    authority,
    records,
    others,
    trust,
    client: mesh.tags,
    directory: mesh.tagDirectory,
    connected,
    mirrored: mirroring && { hostOf: mirroredFrom, upstream, direct: mirroring.directTags },
    freshnessOf,
    onResolved: (source, result) => metrics.tagResolution(source, result),
    now: Date.now
  })
  const lists = new Lists({
    content,
    client: mesh.tags,
    router,
    isSeed: config.role === 'seed',
    mirrored: mirroring?.lists
  })
  const pushes = new PushService({
    peerId,
    content,
    fetch,
    router,
    authority,
    records,
    immutable,
    permits: { pushes: !config.registry.readOnly },
    mirroredFrom,
    holdsWithin: (from, digest, repository, signal) => mesh.holdsWithin(from, digest, repository, signal),
    announce: (digest) => mesh.announce(digest)
  })
  const deletions = new Deletions({
    peerId,
    content,
    router,
    authority,
    immutable,
    others,
    permitted: config.registry.deletes && !config.registry.readOnly,
    mirroredFrom
  })
  const tags = new MeshTags({ content, resolver, lists, deletions })
  const images =
    config.role === 'seed'
      ? undefined
      : new ImageWatch({
          isHere: async (digest) => (await content.blobs.stat(digest)) !== undefined,
          tell: (repository, digest, signal) => router.tellComplete(repository, digest, signal),
          onFailure: (error) => log.debug({ err: error }, 'could not look whether images are complete'),
          now: () => performance.now()
        })
  const zones = events.wantsDistributions
    ? new ZoneWatch({
        peers: () => mesh.peers(),
        knows: async (repository, digest) => (await content.repositories.manifest(repository, digest)) !== undefined,
        onDistributed: (distribution) => events.imageDistributed(distribution)
      })
    : undefined
  const ownManifests = new MeshManifests({
    content,
    fetch,
    router,
    pushes,
    deletions,
    mirrored: mirroring?.manifests,
    expect: (digests, like) => mesh.expect(digests, like),
    listReferrers: (repository, subject, signal) => lists.referrers(repository, subject, signal),
    onPull,
    onManifest: (repository, digest, bytes) => images?.watch(repository, digest, bytes)
  })
  const manifests = new LeasedManifests(ownManifests, content.leases)
  const blobs = new MeshBlobs({
    content,
    fetch,
    fetchForReading,
    router,
    deletions,
    mirrored: mirroring?.blobs,
    onPull
  })
  return {
    registry: {
      ...(mirroring && { mirrors: mirroring.registry }),
      blobs,
      manifests,
      tags,
      uploads: content.uploads,
      catalog: (page, signal) => lists.repositories(page, signal)
    },
    tagHandler: new NodeTagHandler({
      content,
      authority,
      records,
      others,
      upstream,
      router,
      lists,
      pushes,
      deletions,
      access,
      tokens,
      zones,
      onPassedOn: (event) => events.passedOn(event)
    }),
    records,
    puller: new ImagePuller({
      content,
      tags,
      manifests,
      fetch: (repository, digest, size, signal) => {
        if (mirroring?.blobs.covers(repository)) return mirroring.blobs.open(repository, digest, signal)
        return fetchForReading(digest, { size }, signal)
      },
      transferOf: (digest) => mesh.transferOf(digest),
      platform: { os: process.platform, architecture: process.arch === 'x64' ? 'amd64' : process.arch }
    }),
    authority,
    forgettable: new ForgettableTags({ trust, authority, now: Date.now }),
    history: new TagHistory({ peerId, content, authority, immutable, trust }),
    images,
    garbage: new Garbage({ content, log, metrics }, config.store.garbage),
    verifier: new Verifier(
      {
        content,
        bring: (blob, signal) => refetch({ content, fetch, mirrored: mirroring }, blob, signal),
        metrics,
        log
      },
      config.store.verify
    ),
    pins: new ImagePins({ content, tags, manifests, now: Date.now }),
    retention:
      authority === undefined || config.retention.rules.length === 0
        ? undefined
        : new Retention(
            { peerId, content, authority, deletions, immutable, rules, events, log, now: Date.now },
            config.retention
          )
  }
}

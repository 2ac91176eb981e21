import type { BlobReader, ContentStore } from '@layermesh/content'
import type { Digest, Repository } from '@layermesh/oci'
import type { ComponentLogger, PrivateKey } from '@libp2p/interface'
import { BufferPool } from './buffer-pool.ts'
import { Discovery } from './discovery.ts'
import { Exchange } from './exchange/exchange.ts'
import { Serving } from './exchange/serving.ts'
import { ContentShelf } from './exchange/shelf.ts'
import type {
  BlobRequest,
  MembershipPolicy,
  MembershipQuestion,
  MeshMember,
  MeshObserver,
  NoticeBoard,
  PeerSummary,
  PrefetchClient,
  PrefetchHandler,
  TagClient,
  TagDirectory,
  TagHandler,
  TransferSummary
} from './interfaces.ts'
import { Arbiter } from './leases/arbiter.ts'
import { LeaseClient } from './leases/lease-client.ts'
import { LIMITS } from './limits.ts'
import { Loans } from './loans.ts'
import { Admissions } from './network/admissions.ts'
import { BanList } from './network/bans.ts'
import { createGater } from './network/gater.ts'
import { HandshakeGate } from './network/handshake-gate.ts'
import { createHost, type MeshHost } from './network/host.ts'
import { Neighbours } from './network/neighbours.ts'
import { type Introduction, PeerDirectory } from './network/peer-directory.ts'
import { parseJoinAddress, type Resolve, Supervisor } from './network/supervisor.ts'
import { Notices } from './notices/notices.ts'
import { walkMembers } from './prefetch/member-walk.ts'
import type { KnownMember } from './prefetch/messages.ts'
import { PrefetchProtocolClient, servePrefetch } from './prefetch/prefetch-protocol.ts'
import { DhtTagDirectory } from './tags/directory.ts'
import { type OpenTrustedRecord, tagRecordRules } from './tags/record-rules.ts'
import { serveTags, TagProtocolClient } from './tags/tag-protocol.ts'

/** What the parts of a node meet on. */
interface Network {
  readonly host: MeshHost
  readonly datastore: { close(): Promise<void> }
  readonly bans: BanList
  readonly admissions: Admissions
  /** Memory of pieces that come and go, used again. */
  readonly buffers: BufferPool
  readonly loans: Loans
}

export interface MeshComponents {
  readonly content: ContentStore
  readonly privateKey: PrivateKey
  readonly observer: MeshObserver
  /** Who may be in the mesh. */
  readonly membership: MembershipPolicy
  /** The notices that this node holds; the mesh brings it those of others. */
  readonly board: NoticeBoard
  /** Told of things that the operator may want to know; not of each failure that the mesh got over. */
  readonly log: MeshLog
  /** Reads a tag record and throws unless its signer may sign for its repository. */
  readonly openTrustedRecord: OpenTrustedRecord
  /** Whether pieces may be used on the word of this signer alone. */
  mayVouch(signer: string): boolean
  /** Peer ids of the seeds. */
  seeds(): readonly string[]
  readonly logger?: ComponentLogger
  readonly resolve?: Resolve
  /** Milliseconds of a clock that never goes back, for what peers are held to while they share blobs. @default performance.now */
  now?(): number
}

export interface MeshLog {
  debug(fields: Record<string, unknown>, message: string): void
  warn(fields: Record<string, unknown>, message: string): void
}

export interface MeshOptions {
  /** Directory for what libp2p remembers. */
  readonly directory: string
  readonly listen: readonly string[]
  readonly announce: readonly string[]
  /** Multiaddrs or NAME:PORT, see {@link parseJoinAddress}. */
  readonly join: readonly string[]
  readonly maxPeers: number
  readonly self: Introduction
  /** How long a blob is looked for before the answer is that nobody has it, in ms. */
  readonly findWithinMs: number
  /** How long peers have to give a blob before its origin is asked, in ms. @default LIMITS.originHeadStartMs */
  readonly originHeadStartMs?: number
  /** Rates of payload in bytes per second. @default no limit */
  readonly limits?: TransferLimits
}

/** Payload between this node and all others, and those of other zones, in bytes per second; Infinity for no limit. */
export interface TransferLimits {
  readonly download: number
  readonly upload: number
  readonly farDownload: number
  readonly farUpload: number
}

/** A node's part in the mesh: it finds, fetches and shares blobs, and carries signed tag records. */
export class Mesh {
  readonly tags: TagClient
  readonly tagDirectory: TagDirectory
  /** Has peers fetch images. */
  readonly prefetches: PrefetchClient
  readonly #prefetchClient: PrefetchProtocolClient
  readonly #host: MeshHost
  readonly #datastore: { close(): Promise<void> }
  readonly #admissions: Admissions
  readonly #directory: PeerDirectory
  readonly #discovery: Discovery
  readonly #exchange: Exchange
  readonly #serving: Serving
  readonly #arbiter: Arbiter
  readonly #leases: LeaseClient
  readonly #supervisor: Supervisor
  readonly #neighbours: Neighbours
  readonly #tagClient: TagProtocolClient
  readonly #notices: Notices
  readonly #log: MeshLog

  private constructor(
    { host, datastore, bans, admissions, buffers, loans }: Network,
    components: MeshComponents,
    options: MeshOptions
  ) {
    const { content, privateKey, observer, log } = components
    this.#host = host
    this.#datastore = datastore
    this.#log = log
    this.#admissions = admissions
    const isShutOut = (peerId: string) => admissions.isShutOut(peerId)
    this.#directory = new PeerDirectory({ host, bans, isShutOut, observer }, options.self)
    const directory = this.#directory
    this.#discovery = new Discovery(host, observer)
    const discovery = this.#discovery
    const arriving = {
      map: (digest: Digest) => this.#exchange.arrivingMap(digest),
      ledger: (digest: Digest) => this.#exchange.ledger(digest),
      bringsIn: (digest: Digest) => this.#exchange.bringsIn(digest),
      fetching: (digest: Digest) => this.#exchange.fetchingNow(digest)
    }
    const shelf = new ContentShelf({ content, privateKey, arriving, mayVouch: components.mayVouch })
    const now = components.now ?? (() => performance.now())
    const interest = {
      asked: (digest: Digest, peerId: string) => {
        discovery.remember(digest, peerId)
        this.#exchange.interested(digest, peerId)
      },
      peers: (digest: Digest, except: string) =>
        directory.addressesOf(discovery.holders(digest).filter((peerId) => peerId !== except))
    }
    const { limits } = options
    const given = limits && { bytesPerSecond: limits.upload, farBytesPerSecond: limits.farUpload }
    const taken = limits && { bytesPerSecond: limits.download, farBytesPerSecond: limits.farDownload }
    this.#serving = new Serving({ host, directory, shelf, loans, interest, now }, given)
    this.#arbiter = new Arbiter({ host, directory, now })
    const isSeed = options.self.role === 'seed'
    this.#leases = new LeaseClient({ host, directory, arbiter: this.#arbiter, seeds: components.seeds, isSeed })
    this.#exchange = new Exchange(
      {
        leases: this.#leases,
        host,
        content,
        privateKey,
        directory,
        discovery,
        observer,
        serving: this.#serving,
        buffers,
        mayVouch: components.mayVouch,
        seeds: components.seeds,
        now
      },
      {
        findWithinMs: options.findWithinMs,
        originHeadStartMs: options.originHeadStartMs,
        ...(taken && { swarm: taken })
      }
    )
    this.#supervisor = new Supervisor(host, {
      join: options.join.map(parseJoinAddress),
      seeds: components.seeds,
      onFailure: (address, error) =>
        log.warn({ address, reason: String(error) }, 'a join address can not be reached; trying again'),
      ...(components.resolve === undefined ? {} : { resolve: components.resolve })
    })
    this.#neighbours = new Neighbours({ host, directory })
    this.#notices = new Notices({ host, directory, board: components.board, log })
    this.#tagClient = new TagProtocolClient(host)
    this.tags = this.#tagClient
    this.#prefetchClient = new PrefetchProtocolClient(host)
    this.prefetches = this.#prefetchClient
    this.tagDirectory = new DhtTagDirectory(host, components.openTrustedRecord)
  }

  /** Makes a node that listens nowhere yet. @throws {MeshError} SECRET_INVALID, ADDRESS_INVALID */
  static async create(components: MeshComponents, options: MeshOptions): Promise<Mesh> {
    const now = () => performance.now()
    const bans = new BanList(now)
    const { membership, observer } = components
    const onRefused: MeshObserver['refused'] = (event) => observer.refused(event)
    const admissions = new Admissions({
      policy: membership,
      maxPeers: options.maxPeers,
      isBanned: (peerId) => bans.has(peerId),
      onRefused
    })
    options.join.forEach(parseJoinAddress)
    const buffers = new BufferPool(LIMITS.pooledBufferBytes)
    const loans = new Loans(buffers)
    const { host, datastore } = await createHost({
      loans,
      privateKey: components.privateKey,
      directory: options.directory,
      listen: options.listen,
      announce: options.announce,
      maxPeers: options.maxPeers,
      admissions,
      gater: createGater({
        isShutOut: (peerId) => admissions.isShutOut(peerId),
        handshakes: new HandshakeGate(now),
        onRefused
      }),
      tagRules: tagRecordRules(components.openTrustedRecord),
      ...(components.logger === undefined ? {} : { logger: components.logger })
    })
    return new Mesh({ host, datastore, bans, admissions, buffers, loans }, components, options)
  }

  get peerId(): string {
    return this.#host.peerId.toString()
  }

  /** Full multiaddrs that others can join by. */
  get addresses(): string[] {
    return this.#host.getMultiaddrs().map((address) => address.toString())
  }

  /** Listens, answers peers with these handlers and joins. */
  async start(tagHandler: TagHandler, prefetchHandler: PrefetchHandler): Promise<void> {
    await this.#directory.start()
    await this.#serving.start()
    await this.#arbiter.start()
    await serveTags(this.#host, tagHandler, {
      onFailure: (peerId, error) => this.#log.debug({ peerId, err: error }, 'a request about tags failed'),
      onFlood: (peerId) => this.#directory.flooded(peerId),
      onMalformed: (peerId) => this.#directory.sentMalformed(peerId)
    })
    await servePrefetch(
      { host: this.#host, handler: prefetchHandler, members: () => this.neighbours() },
      {
        onFailure: (peerId, error) => this.#log.debug({ peerId, err: error }, 'a prefetch for a peer ended'),
        onFlood: (peerId) => this.#directory.flooded(peerId),
        onMalformed: (peerId) => this.#directory.sentMalformed(peerId)
      }
    )
    await this.#notices.start()
    await this.#host.start()
    this.#supervisor.start()
    this.#neighbours.start()
  }

  /** Leaves the mesh; downloads end, what they brought is kept. */
  async stop(): Promise<void> {
    await Promise.all([this.#supervisor.stop(), this.#neighbours.stop()])
    this.#exchange.stop()
    this.#leases.stop()
    this.#arbiter.stop()
    await Promise.all([this.#serving.stop(), this.#discovery.stop(), this.#notices.stop(), this.#tagClient.stop()])
    await this.#host.stop()
    this.#admissions.stop()
    await this.#datastore.close()
  }

  /**
   * A reader of the blob, as soon as its length is known and its first piece is on its way; undefined when nobody has
   * it. Many may ask for the same blob: it is fetched once.
   */
  fetch(digest: Digest, request: BlobRequest, signal: AbortSignal): Promise<BlobReader | undefined> {
    return this.#exchange.fetch(digest, request, signal)
  }

  /** Peers that hold the digest and know it to be in the repository; empty when there are none. */
  confirm(question: MembershipQuestion, signal: AbortSignal): Promise<string[]> {
    return this.#exchange.confirm(question, signal)
  }

  /** Whether this one peer holds a blob and says that it is in the repository. */
  async holdsWithin(peerId: string, digest: Digest, repository: Repository, signal: AbortSignal): Promise<boolean> {
    return (await this.#exchange.probe(peerId, digest, repository, signal)) ?? false
  }

  /** Tells the mesh that this node has a blob. */
  announce(digest: Digest): void {
    this.#discovery.announce(digest)
  }

  /** Remembers that whoever holds `like` most likely holds these too, as the blobs of a manifest. */
  expect(digests: readonly Digest[], like: Digest): void {
    for (const digest of digests)
      for (const peerId of this.#discovery.holders(like)) this.#discovery.remember(digest, peerId)
  }

  /** Tells the mesh no more that this node has a blob. */
  async withdraw(digest: Digest): Promise<void> {
    await this.#discovery.withdraw(digest)
  }

  /** Peer ids of those that this node is connected to. */
  connected(): string[] {
    return this.#directory.connected()
  }

  /** All other members of the mesh that can be found: see {@link walkMembers}. */
  async members(signal: AbortSignal): Promise<MeshMember[]> {
    const options = {
      self: this.peerId,
      concurrency: LIMITS.memberWalkConcurrency,
      maxMembers: LIMITS.membersFound
    }
    const components = {
      connected: () => this.peers(),
      ask: (peerId: string, deadline: AbortSignal) => this.#prefetchClient.members(peerId, deadline),
      learn: (member: KnownMember) => this.#directory.learn(member)
    }
    const deadline = AbortSignal.timeout(LIMITS.memberWalkDeadlineMs)
    return await walkMembers(components, options, AbortSignal.any([signal, deadline]))
  }

  /** Those that are connected, with what they told of themselves and where they listen. */
  private async neighbours(): Promise<KnownMember[]> {
    const peers = this.peers()
    const places = await this.#directory.addressesOf(
      peers.map(({ peerId }) => peerId),
      LIMITS.membersPerAnswer
    )
    const addresses = new Map(places.map((place) => [place.peerId, place.addresses]))
    return peers.map(({ peerId, zone, role }) => ({ peerId, zone, role, addresses: addresses.get(peerId) ?? [] }))
  }

  peers(): PeerSummary[] {
    return this.#directory.summaries()
  }

  transfers(): TransferSummary[] {
    return this.#exchange.transfers()
  }

  /** How far a blob is, or how it came if that was not long ago. */
  transferOf(digest: Digest): TransferSummary | undefined {
    return this.#exchange.transferOf(digest)
  }
}

import type { Connection } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { MeshError } from '../errors.ts'
import type { MeshObserver, PeerSummary } from '../interfaces.ts'
import { LIMITS, PROTOCOL } from '../limits.ts'
import { sample } from '../sample.ts'
import { type PeerAddresses, packPeer, unpackPeer } from '../wire/blob-messages.ts'
import { encodeFields, Fields, malformed } from '../wire/fields.ts'
import type { BanList } from './bans.ts'
import type { MeshHost } from './host.ts'
import { call, parsePeerId, serve } from './rpc.ts'

/** What a node tells of itself to each peer it connects to. */
export interface Introduction {
  readonly version: string
  readonly role: 'seed' | 'node'
  readonly zone: string
}

interface KnownPeer {
  introduction?: Promise<Introduction>
  told?: Introduction
  receivedBytes: number
  sentBytes: number
}

/** The peers that this node is connected to: who they are, what passed between us. Emptied as they disconnect. */
export class PeerDirectory {
  readonly #host: MeshHost
  readonly #bans: BanList
  readonly #isShutOut: (peerId: string) => boolean
  readonly #observer: MeshObserver
  readonly #self: Introduction
  readonly #peers = new Map<string, KnownPeer>()
  readonly #goneListeners = new Set<(peerId: string) => void>()

  /** @param components.isShutOut whether a peer is kept out, for a while or for good */
  constructor(
    components: { host: MeshHost; bans: BanList; isShutOut: (peerId: string) => boolean; observer: MeshObserver },
    self: Introduction
  ) {
    this.#host = components.host
    this.#bans = components.bans
    this.#isShutOut = components.isShutOut
    this.#observer = components.observer
    this.#self = self
  }

  async start(): Promise<void> {
    await serve(
      this.#host,
      PROTOCOL.hello,
      async (peerId, request) => {
        this.peer(peerId).told = decodeIntroduction(request).introduction
        return encodeIntroduction(this.#self, await this.neighboursFor(peerId))
      },
      {
        deadlineMs: LIMITS.rpcDeadlineMs,
        rate: { perSecond: LIMITS.helloPerSecond, burst: LIMITS.helloBurst },
        onFailure: () => {},
        onFlood: (peerId) => this.flooded(peerId),
        onMalformed: (peerId) => this.sentMalformed(peerId)
      }
    )
    this.#host.addEventListener('peer:connect', ({ detail }) => {
      const peerId = detail.toString()
      this.peer(peerId)
      this.#observer.peerConnected(peerId)
      this.introduction(peerId).catch(() => {})
    })
    this.#host.addEventListener('peer:disconnect', ({ detail }) => {
      const peerId = detail.toString()
      this.#peers.delete(peerId)
      this.#observer.peerDisconnected(peerId)
      for (const listener of this.#goneListeners) listener(peerId)
    })
  }

  /** Calls `listener` when the last connection to a peer is gone. */
  onGone(listener: (peerId: string) => void): void {
    this.#goneListeners.add(listener)
  }

  /** What the peer told of itself; asks once and remembers. @throws {MeshError} */
  introduction(peerId: string): Promise<Introduction> {
    const peer = this.peer(peerId)
    if (peer.told) return Promise.resolve(peer.told)
    peer.introduction ??= this.ask(peerId, peer).catch((error) => {
      delete peer.introduction
      throw error
    })
    return peer.introduction
  }

  /** Whether a peer is near; one that has not told its zone counts as near. */
  scope(peerId: string): 'zone' | 'far' {
    const told = this.#peers.get(peerId)?.told
    return told === undefined || told.zone === this.#self.zone ? 'zone' : 'far'
  }

  /** What the peer told of its zone; this node's own as long as it told nothing. */
  zone(peerId: string): string {
    return this.#peers.get(peerId)?.told?.zone ?? this.#self.zone
  }

  connected(): string[] {
    return this.#host.getPeers().map((peer) => peer.toString())
  }

  countReceived(peerId: string, bytes: number): void {
    this.peer(peerId).receivedBytes += bytes
    this.#observer.received({ source: 'peer', peerId, scope: this.scope(peerId), bytes })
  }

  countSent(peerId: string, bytes: number): void {
    this.peer(peerId).sentBytes += bytes
    this.#observer.sent({ peerId, scope: this.scope(peerId), bytes })
  }

  /** Shuts a peer out, closes its connections and names it to the observer. */
  ban(peerId: string, reason: string, forMs: number): void {
    if (!this.#bans.ban(peerId, forMs)) return
    this.#observer.banned({ peerId, reason, untilMs: Date.now() + forMs })
    this.#host.hangUp(parsePeerId(peerId), { signal: AbortSignal.timeout(LIMITS.rpcDeadlineMs) }).catch(() => {
      for (const connection of this.#host.getConnections(parsePeerId(peerId))) {
        connection.abort(new MeshError('PEER_MISBEHAVED', reason, { peerId }))
      }
    })
  }

  /** Shuts a peer out that sends far more than it may; what it has sent already finds it shut out. */
  flooded(peerId: string): void {
    if (!this.isBanned(peerId)) this.ban(peerId, 'flood', LIMITS.floodBanMs)
  }

  /** Shuts out a peer whose message can't be read: reading what is made for that takes long. */
  sentMalformed(peerId: string): void {
    if (!this.isBanned(peerId)) this.ban(peerId, 'malformed', LIMITS.malformedBanMs)
  }

  /** Whether a peer is kept out, for a while or because it was revoked. */
  isBanned(peerId: string): boolean {
    return this.#isShutOut(peerId)
  }

  /**
   * Addresses of peers, for others who look for them; peers without a known address are left out.
   * @param max of how many
   */
  async addressesOf(peerIds: readonly string[], max: number = LIMITS.peersPerAnswer): Promise<PeerAddresses[]> {
    const found = await Promise.all(
      peerIds.slice(0, max).map(async (peerId) => {
        const peer = await this.#host.peerStore.get(parsePeerId(peerId)).catch(() => undefined)
        const addresses = (peer?.addresses ?? []).map(({ multiaddr: address }) => address.toString())
        return {
          peerId,
          addresses: addresses
            .filter((a) => a.length <= LIMITS.maxMultiaddrLength)
            .slice(0, LIMITS.maxMultiaddrsPerPeer)
        }
      })
    )
    return found.filter(({ addresses }) => addresses.length > 0)
  }

  /** Asks a peer for others to connect to, and remembers where they listen. @throws {MeshError} */
  async askForPeers(peerId: string, signal: AbortSignal): Promise<string[]> {
    const { peers } = await this.hello(peerId, signal)
    const self = this.#host.peerId.toString()
    const others = peers.filter((peer) => peer.peerId !== self)
    await Promise.all(others.map((peer) => this.learn(peer)))
    return others.map((peer) => peer.peerId)
  }

  /**
   * Remembers where a peer is said to listen, unless it is connected, which tells more; addresses that can't be read are
   * passed over.
   */
  async learn({ peerId, addresses }: PeerAddresses): Promise<void> {
    const peer = parsePeerId(peerId)
    if (this.#host.getConnections(peer).length > 0) return
    const readable = addresses.flatMap((address) => {
      try {
        return [multiaddr(address)]
      } catch {
        return []
      }
    })
    if (readable.length > 0) await this.#host.peerStore.merge(peer, { multiaddrs: readable })
  }

  summaries(): PeerSummary[] {
    return this.connected().flatMap((peerId) => {
      const [connection] = this.#host.getConnections(parsePeerId(peerId))
      return connection ? [this.summary(peerId, connection)] : []
    })
  }

  private summary(peerId: string, connection: Connection): PeerSummary {
    const { told, receivedBytes, sentBytes } = this.peer(peerId)
    return {
      peerId,
      addresses: [connection.remoteAddr.toString()],
      direction: connection.direction,
      zone: told?.zone ?? 'unknown',
      role: told?.role ?? 'node',
      version: told?.version ?? 'unknown',
      ...(connection.rtt === undefined ? {} : { roundTripMs: connection.rtt }),
      receivedBytes,
      sentBytes
    }
  }

  private async ask(peerId: string, peer: KnownPeer): Promise<Introduction> {
    const { introduction } = await this.hello(peerId, new AbortController().signal)
    peer.told = introduction
    return introduction
  }

  private async hello(peerId: string, signal: AbortSignal): Promise<Hello> {
    const options = { protocol: PROTOCOL.hello, deadlineMs: LIMITS.rpcDeadlineMs, signal }
    return decodeIntroduction(await call(this.#host, peerId, encodeIntroduction(this.#self), options))
  }

  /** Some of those that this node is connected to, other ones each time. */
  private async neighboursFor(peerId: string): Promise<PeerAddresses[]> {
    const others = this.connected().filter((other) => other !== peerId)
    return await this.addressesOf(sample(others, LIMITS.peersPerAnswer, Math.random))
  }

  private peer(peerId: string): KnownPeer {
    let peer = this.#peers.get(peerId)
    if (!peer) {
      peer = { receivedBytes: 0, sentBytes: 0 }
      // Counts that come in after the disconnect must not bring the peer back into the map.
      if (this.#host.getConnections(parsePeerId(peerId)).length > 0) this.#peers.set(peerId, peer)
    }
    return peer
  }
}

interface Hello {
  readonly introduction: Introduction
  readonly peers: readonly PeerAddresses[]
}

/** @param peers others that the peer may connect to; only in answers */
export function encodeIntroduction(
  { version, role, zone }: Introduction,
  peers?: readonly PeerAddresses[]
): Uint8Array {
  return encodeFields({ version, role, zone, peers: peers?.map(packPeer) })
}

function decodeIntroduction(bytes: Uint8Array): Hello {
  const fields = new Fields(bytes)
  const role = fields.text('role', 16)
  if (role !== 'seed' && role !== 'node') throw malformed('role')
  const introduction = { version: fields.text('version', 64), role, zone: fields.text('zone', 64) } as const
  const peers = fields.optional('peers', (f, name) => f.list(name, LIMITS.peersPerAnswer, unpackPeer)) ?? []
  return { introduction, peers }
}

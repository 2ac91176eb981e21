import { type LeaseAction, LeaseBook, type LeaseEvent } from '@layermesh/swarm'
import type { Stream } from '@libp2p/interface'
import { MeshError } from '../errors.ts'
import { LIMITS, PROTOCOL } from '../limits.ts'
import type { MeshHost } from '../network/host.ts'
import type { PeerDirectory } from '../network/peer-directory.ts'
import { PeerRate } from '../network/peer-rate.ts'
import type { PeerAddresses } from '../wire/blob-messages.ts'
import { LeaseLink } from './link.ts'
import { decodeLeaseRequest, encodeLeaseAnswer, type LeaseAnswer, type LeaseRequest } from './messages.ts'

export interface ArbiterComponents {
  readonly host: Pick<MeshHost, 'handle' | 'peerId'>
  readonly directory: Pick<PeerDirectory, 'introduction' | 'zone' | 'addressesOf' | 'flooded' | 'sentMalformed'>
  /** Milliseconds of a clock that never goes back. */
  now(): number
}

/** Takes the answers for one asker. */
type Answer = (answer: LeaseAnswer) => void

const TICK_MS = 500
const RATE = Object.freeze({ perSecond: LIMITS.leasePerSecond, burst: LIMITS.leaseBurst })

/**
 * The arbiter that this node is for others and for itself: hands out the leases of blobs that come into the mesh, one
 * for each zone (see {@link LeaseBook}). An asker that is gone, or that closed its stream, holds nothing any more.
 */
export class Arbiter {
  readonly #components: ArbiterComponents
  readonly #book = new LeaseBook()
  readonly #askers = new Map<string, Answer>()
  readonly #links = new Set<LeaseLink>()
  readonly #allowed: PeerRate
  readonly #refused: PeerRate
  #ticker: NodeJS.Timeout | undefined
  #telling: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(components: ArbiterComponents) {
    this.#components = components
    this.#allowed = new PeerRate(RATE, components.now)
    this.#refused = new PeerRate(RATE, components.now)
  }

  async start(): Promise<void> {
    const handler = (stream: Stream, { remotePeer }: { remotePeer: { toString(): string } }) =>
      this.accept(stream, remotePeer.toString())
    await this.#components.host.handle(PROTOCOL.lease, handler, { maxInboundStreams: LIMITS.leaseStreamsPerPeer })
  }

  stop(): void {
    this.#stopped = true
    clearInterval(this.#ticker)
    for (const link of this.#links) link.close()
  }

  /** What this node itself asks. @param answer told at some later moment */
  askLocally(request: LeaseRequest, answer: Answer): void {
    const self = this.#components.host.peerId.toString()
    this.#askers.set(self, (told) => queueMicrotask(() => answer(told)))
    this.take(self, request)
  }

  private accept(stream: Stream, peerId: string): void {
    if (this.#stopped) return stream.abort(new MeshError('PEER_UNREACHABLE', 'shutting down'))
    // Its zone has to be known before it asks for anything.
    const introduced = this.#components.directory.introduction(peerId).catch(() => {})
    const link: LeaseLink = new LeaseLink(
      stream,
      (bytes) => {
        if (!this.mayAsk(peerId)) throw new MeshError('PEER_UNREACHABLE', 'too many messages', { peerId })
        const request = decodeLeaseRequest(bytes)
        void introduced.then(() => link.open && this.take(peerId, request))
      },
      (error) => {
        this.#links.delete(link)
        if (error?.code === 'PEER_MISBEHAVED') this.#components.directory.sentMalformed(peerId)
        if (this.#askers.get(peerId) !== answer) return
        this.#askers.delete(peerId)
        this.step({ type: 'gone', peer: peerId })
      }
    )
    const answer: Answer = (told) => link.send(encodeLeaseAnswer(told))
    this.#links.add(link)
    this.#askers.set(peerId, answer)
  }

  private mayAsk(peerId: string): boolean {
    if (this.#allowed.allows(peerId)) return true
    if (!this.#refused.allows(peerId)) this.#components.directory.flooded(peerId)
    return false
  }

  private take(peer: string, request: LeaseRequest): void {
    const zone = this.#components.directory.zone(peer)
    switch (request.op) {
      case 'renew':
        for (const digest of request.digests) this.step({ type: 'renew', peer, zone, digest })
        return
      case 'release':
        return this.step({ type: 'release', peer, zone, digest: request.digest, reason: request.reason })
      case 'follow':
        return this.step({ type: 'follow', peer, zone, digest: request.digest })
      case 'acquire': {
        const { op: type, ...rest } = request
        return this.step({ type, peer, zone, ...rest })
      }
    }
  }

  private step(event: LeaseEvent): void {
    for (const action of this.#book.step(this.#components.now(), event)) {
      // One after the other: what is told last is what counts.
      this.#telling = this.#telling.then(() => this.perform(action)).catch(() => {})
    }
    if (this.#book.size > 0 && !this.#stopped) this.#ticker ??= setInterval(() => this.step({ type: 'tick' }), TICK_MS)
    else {
      clearInterval(this.#ticker)
      this.#ticker = undefined
    }
  }

  private async perform(action: LeaseAction): Promise<void> {
    const answer = this.#askers.get(action.peer)
    if (!answer) return
    const { digest } = action
    if (action.type === 'granted') answer({ op: 'granted', digest })
    else if (action.type === 'refused') answer({ op: 'refused', digest, reason: action.reason })
    else answer({ op: 'held', digest, holder: await this.addressed(action.holder) })
  }

  private async addressed(peerId: string): Promise<PeerAddresses> {
    const [known] = await this.#components.directory.addressesOf([peerId])
    return known ?? { peerId, addresses: [] }
  }
}

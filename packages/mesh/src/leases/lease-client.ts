import type { Digest } from '@layermesh/oci'
import { type LeaseEnd, rankForBlob } from '@layermesh/swarm'
import { LRUCache } from 'lru-cache'
import { LIMITS, PROTOCOL } from '../limits.ts'
import type { MeshHost } from '../network/host.ts'
import type { PeerDirectory } from '../network/peer-directory.ts'
import { parsePeerId } from '../network/rpc.ts'
import type { PeerAddresses } from '../wire/blob-messages.ts'
import type { Arbiter } from './arbiter.ts'
import { LeaseLink } from './link.ts'
import { decodeLeaseAnswer, encodeLeaseRequest, type LeaseAnswer, type LeaseRequest } from './messages.ts'

export interface LeaseClientComponents {
  readonly host: Pick<MeshHost, 'dialProtocol' | 'peerId'>
  readonly directory: Pick<PeerDirectory, 'connected' | 'scope' | 'isBanned' | 'sentMalformed'>
  /** What this node is for itself when it is the one to ask. */
  readonly arbiter: Pick<Arbiter, 'askLocally'>
  /** Peer ids of the other seeds. */
  seeds(): readonly string[]
  /** Whether this node is a seed, whom others ask. */
  readonly isSeed: boolean
}

/** What an arbiter says of one blob. */
export interface LeaseListener {
  /** This node brings the blob in. */
  granted(): void
  /** Another one does, or has just done so; this node does not, or does so no more. */
  held(holder: PeerAddresses): void
  /** Nobody can get it, or none may try any more. Nothing else is told then. */
  refused(): void
}

/** One blob that is asked for. */
export interface LeaseAsk {
  /** Says that nothing comes from those who bring the blob in. */
  complain(): void
  /** This node can't get the blob; it is still told who brings it in. */
  failed(): void
  /** Nothing more is to be told of the blob. */
  release(reason: LeaseEnd): void
}

interface Ask {
  readonly digest: Digest
  readonly listener: LeaseListener
  /** Arbiters that are not asked again for this blob. */
  readonly passed: Set<string>
  /** Whom it was asked of; undefined while that is being chosen. */
  arbiter: string | undefined
  holding: boolean
  /** Who is known to bring it in. */
  holder: string | undefined
  /** This node could not get it, and is told who can. */
  follows: boolean
  answerTimer: NodeJS.Timeout | undefined
  /** How often it was told in vain that nothing comes. */
  complaints: number
  /** Which search for an arbiter is the present one. */
  search: number
}

const COMPLAINTS_TO_AN_ARBITER = 2

/**
 * The asker's part: finds the arbiter of a blob, asks it, renews what this node holds, and goes to the next arbiter when
 * one does not answer or is gone. Seeds come first, then members of the zone, in an order that all of them agree on; this
 * node is its own arbiter when there is nobody else, or its place in that order is the first.
 */
export class LeaseClient {
  readonly #components: LeaseClientComponents
  readonly #asks = new Map<Digest, Ask>()
  readonly #links = new Map<string, Promise<LeaseLink>>()
  readonly #silent = new LRUCache<string, true>({ max: 256, ttl: LIMITS.arbiterPauseMs })
  #renewer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(components: LeaseClientComponents) {
    this.#components = components
  }

  /** Asks for the lease of a blob. What is asked later for the same blob takes the place of what was asked before. */
  ask(digest: Digest, listener: LeaseListener): LeaseAsk {
    const fresh = { passed: new Set<string>(), arbiter: undefined, holding: false, holder: undefined, follows: false }
    const ask: Ask = { digest, listener, ...fresh, answerTimer: undefined, complaints: 0, search: 0 }
    const before = this.#asks.get(digest)
    if (before) this.forget(before)
    this.#asks.set(digest, ask)
    void this.place(ask)
    return {
      complain: () => this.complain(ask),
      failed: () => this.failed(ask),
      release: (reason) => this.release(ask, reason)
    }
  }

  private complain(ask: Ask): void {
    const { digest, arbiter, holding, follows } = ask
    if (!this.isWanted(ask) || arbiter === undefined || holding || follows) return
    if (++ask.complaints < COMPLAINTS_TO_AN_ARBITER || arbiter === this.self) {
      return this.tell(arbiter, { op: 'acquire', digest, stalled: true })
    }
    // Whoever names holders that bring nothing, again and again, may not be honest.
    ask.passed.add(arbiter)
    ask.complaints = 0
    ask.holder = undefined
    this.tell(arbiter, { op: 'release', digest, reason: 'left' })
    void this.place(ask)
  }

  private failed(ask: Ask): void {
    if (!this.isWanted(ask)) return
    ask.follows = true
    ask.holding = false
    if (ask.arbiter === undefined) return
    this.tell(ask.arbiter, { op: 'release', digest: ask.digest, reason: 'failed' })
    this.request(ask)
  }

  private release(ask: Ask, reason: LeaseEnd): void {
    if (!this.isWanted(ask)) return
    this.forget(ask)
    if (ask.arbiter !== undefined) this.tell(ask.arbiter, { op: 'release', digest: ask.digest, reason })
  }

  stop(): void {
    this.#stopped = true
    clearInterval(this.#renewer)
    for (const ask of [...this.#asks.values()]) this.forget(ask)
    for (const opening of this.#links.values()) void opening.then((link) => link.close()).catch(() => {})
  }

  private get self(): string {
    return this.#components.host.peerId.toString()
  }

  /** Finds an arbiter for it and asks that one. */
  private async place(ask: Ask): Promise<void> {
    clearTimeout(ask.answerTimer)
    ask.arbiter = undefined
    const search = ++ask.search
    for (const arbiter of this.arbiters(ask.digest)) {
      if (ask.passed.has(arbiter) || this.#silent.has(arbiter)) continue
      if (arbiter !== this.self) {
        try {
          await this.open(arbiter)
        } catch {
          this.#silent.set(arbiter, true)
          continue
        }
      }
      if (!this.isWanted(ask) || ask.search !== search) return
      ask.arbiter = arbiter
      return this.request(ask)
    }
    if (!this.isWanted(ask)) return
    this.forget(ask)
    ask.listener.refused()
  }

  /** Those who may be asked, the best first; this node is the last resort of its own. */
  private arbiters(digest: Digest): string[] {
    const { directory, seeds, isSeed } = this.#components
    const there = directory.connected().filter((peerId) => !directory.isBanned(peerId))
    const trusted = new Set(isSeed ? [...seeds(), this.self] : seeds())
    const ranked = rankForBlob(
      [...there, this.self].filter((peerId) => trusted.has(peerId)),
      digest
    )
    const near = there.filter((peerId) => !trusted.has(peerId) && directory.scope(peerId) === 'zone')
    return [...ranked, ...rankForBlob([...near, this.self], digest), this.self]
  }

  private request(ask: Ask): void {
    const { digest, arbiter, holding, holder, follows } = ask
    if (arbiter === undefined) return
    if (follows) this.tell(arbiter, { op: 'follow', digest })
    else if (holding) this.tell(arbiter, { op: 'acquire', digest, holding })
    else this.tell(arbiter, { op: 'acquire', digest, ...(holder !== undefined && { holder }) })
    clearTimeout(ask.answerTimer)
    ask.answerTimer = setTimeout(() => {
      this.#silent.set(arbiter, true)
      void this.place(ask)
    }, LIMITS.leaseAnswerMs).unref()
  }

  private tell(arbiter: string, request: LeaseRequest): void {
    if (arbiter === this.self) {
      this.#components.arbiter.askLocally(request, (answer) => this.take(arbiter, answer))
      return
    }
    // One that is just gone is told nothing; that it is gone is noted elsewhere.
    void this.#links
      .get(arbiter)
      ?.then((link) => link.send(encodeLeaseRequest(request)))
      .catch(() => {})
  }

  private open(peerId: string): Promise<LeaseLink> {
    let link = this.#links.get(peerId)
    if (!link) {
      link = this.connect(peerId)
      link.catch(() => this.#links.delete(peerId))
      this.#links.set(peerId, link)
    }
    return link
  }

  private async connect(peerId: string): Promise<LeaseLink> {
    const signal = AbortSignal.timeout(LIMITS.leaseAnswerMs)
    const stream = await this.#components.host.dialProtocol(parsePeerId(peerId), PROTOCOL.lease, { signal })
    return new LeaseLink(
      stream,
      (bytes) => this.take(peerId, decodeLeaseAnswer(bytes)),
      (error) => {
        this.#links.delete(peerId)
        if (error?.code === 'PEER_MISBEHAVED') this.#components.directory.sentMalformed(peerId)
        for (const ask of this.#asks.values()) if (ask.arbiter === peerId) this.moveOn(ask)
      }
    )
  }

  /** The arbiter is gone: the next one is told who holds the lease. */
  private moveOn(ask: Ask): void {
    if (ask.arbiter !== undefined) ask.passed.add(ask.arbiter)
    void this.place(ask)
  }

  private isWanted(ask: Ask): boolean {
    return !this.#stopped && this.#asks.get(ask.digest) === ask
  }

  private take(arbiter: string, answer: LeaseAnswer): void {
    const ask = this.#asks.get(answer.digest)
    if (ask?.arbiter !== arbiter) {
      // It was granted too late, and is for others.
      const { digest } = answer
      if (answer.op === 'granted') this.tell(arbiter, { op: 'release', digest, reason: 'left' })
      return
    }
    clearTimeout(ask.answerTimer)
    switch (answer.op) {
      case 'granted':
        if (ask.follows || ask.holding) return
        ask.holding = true
        ask.complaints = 0
        this.#renewer ??= setInterval(() => this.renew(), LIMITS.leaseRenewMs).unref()
        return ask.listener.granted()
      case 'held':
        if (answer.holder.peerId === this.self) return
        ask.holding = false
        ask.holder = answer.holder.peerId
        return ask.listener.held(answer.holder)
      case 'refused':
        if (answer.reason === 'busy') {
          ask.passed.add(arbiter)
          return void this.place(ask)
        }
        this.forget(ask)
        return ask.listener.refused()
    }
  }

  private forget(ask: Ask): void {
    clearTimeout(ask.answerTimer)
    if (this.#asks.get(ask.digest) === ask) this.#asks.delete(ask.digest)
  }

  private renew(): void {
    const byArbiter = new Map<string, Digest[]>()
    for (const { arbiter, holding, digest } of this.#asks.values()) {
      if (!holding || arbiter === undefined) continue
      byArbiter.set(arbiter, [...(byArbiter.get(arbiter) ?? []), digest])
    }
    for (const [arbiter, digests] of byArbiter) {
      for (let first = 0; first < digests.length; first += LIMITS.leasesPerRenewal) {
        this.tell(arbiter, { op: 'renew', digests: digests.slice(first, first + LIMITS.leasesPerRenewal) })
      }
    }
    if (byArbiter.size > 0) return
    clearInterval(this.#renewer)
    this.#renewer = undefined
  }
}

import type { Message, Offer, Peer, Surroundings } from './peer.ts'
import type { Share } from './share.ts'

/** What the node does with offers, and knows for its own. */
export interface JoiningHost {
  readonly self: Peer
  /** Whether it says that it has what it has not. */
  readonly lies: boolean
  isBanned(peer: Peer): boolean
  offer(share: Share): Offer
  /** A peer offers pieces. */
  joined(share: Share, peer: Peer, offer: Offer): void
  searchEnded(share: Share): void
}

/** Neighbours that are asked in a search for whom they know. */
const ASKED_FOR_NAMES = 2

/**
 * How nodes find each other: origins are asked first; whoever is asked names others that asked it. Who has all of a
 * blob takes on a bounded number of each zone, so that none shuts another out; the others go to these.
 */
export class Joining {
  readonly #host: JoiningHost
  readonly #world: Surroundings
  /** Who has yet to answer, with a mark that an answer which comes too late does not fit. */
  readonly #questions = new Map<Share, Map<Peer, symbol>>()
  readonly #searching = new Set<Share>()

  constructor(host: JoiningHost, world: Surroundings) {
    this.#host = host
    this.#world = world
  }

  /** Looks for peers; tells {@link JoiningHost.searchEnded} when all have answered. */
  search(share: Share): void {
    this.#searching.add(share)
    for (const origin of this.#world.origins) this.ask(share, origin)
    for (const peer of this.#world.random.sample([...share.joined], ASKED_FOR_NAMES)) this.question(share, peer)
    this.endSearch(share)
  }

  /** A peer wants to share the blob. */
  answer(share: Share, from: Peer): void {
    const { scenario, random } = this.#world
    const { blob } = share
    let ofZone = 0
    for (const follower of share.followers.keys()) if (follower.zone === from.zone) ofZone++
    const full = share.whole && !share.followers.has(from) && ofZone >= scenario.joinsPerWholeBlob
    // Only those whom an origin takes on bring pieces to their zone, so that all who do know the same far peers.
    const alone = !share.interest.hasOthersOf(from)
    const farNeighbours = alone || (share.whole && !full) ? scenario.farNeighbours : 0
    const names = share.interest.names(from, { ...scenario, farNeighbours }, random)
    share.interest.add(from)
    if (full && names.length > 0) {
      this.#world.post(this.#host.self, from, { type: 'refused', blob, names })
      return
    }
    share.followers.set(from, this.#host.lies || share.whole)
    this.#world.post(this.#host.self, from, { type: 'joined', blob, names, ...this.#host.offer(share) })
    if (share.wanted) this.ask(share, from)
  }

  take(share: Share, from: Peer, message: Extract<Message, { type: 'joined' | 'refused' }>): void {
    const expected = this.#questions.get(share)?.delete(from) === true
    if (share.wanted && message.type === 'joined' && !share.joined.has(from)) {
      share.joined.add(from)
      this.#host.joined(share, from, message)
    }
    if (message.type === 'refused' && !share.joined.has(from)) share.asked.delete(from)
    if (expected && share.wanted) this.follow(share, message.names, this.#world.origins.includes(from))
    this.endSearch(share)
  }

  /** The connection to a peer is gone. */
  lost(share: Share, peer: Peer): void {
    share.asked.delete(peer)
    share.joined.delete(peer)
    share.followers.delete(peer)
    share.interest.delete(peer)
    if (this.#questions.get(share)?.delete(peer)) this.endSearch(share)
  }

  /** The blob is no longer wanted. */
  leave(share: Share): void {
    for (const peer of share.joined) this.#world.post(this.#host.self, peer, { type: 'leave', blob: share.blob })
    share.joined.clear()
    share.asked.clear()
    this.#questions.delete(share)
    this.#searching.delete(share)
  }

  /** Asks those who were named, until there are enough. What peers name fills up what the origin's names left open. */
  private follow(share: Share, names: readonly Peer[], fromOrigin: boolean): void {
    const { neighbours, farNeighbours } = this.#world.scenario
    const { self } = this.#host
    const enough = fromOrigin ? neighbours : Math.ceil(neighbours / 2)
    for (const peer of names) {
      const near = peer.zone === self.zone
      let count = 0
      for (const other of share.asked) {
        if (!this.#world.origins.includes(other) && (other.zone === self.zone) === near) count++
      }
      if (count < (near ? enough : farNeighbours)) this.ask(share, peer)
    }
  }

  private ask(share: Share, peer: Peer): void {
    if (peer === this.#host.self || share.asked.has(peer) || this.#host.isBanned(peer)) return
    if (this.#world.connect(this.#host.self, peer)) share.asked.add(peer)
    this.question(share, peer)
  }

  private question(share: Share, peer: Peer): void {
    const { self } = this.#host
    if (!this.#world.isConnected(self, peer)) return
    const questions = this.#questions.get(share) ?? new Map<Peer, symbol>()
    this.#questions.set(share, questions)
    const mark = Symbol(peer.id)
    questions.set(peer, mark)
    this.#world.post(self, peer, { type: 'join', blob: share.blob })
    this.#world.clock.after(this.#world.scenario.joinDeadlineMs, () => {
      if (questions.get(peer) !== mark) return
      questions.delete(peer)
      if (!share.joined.has(peer)) share.asked.delete(peer)
      this.endSearch(share)
    })
  }

  private endSearch(share: Share): void {
    if ((this.#questions.get(share)?.size ?? 0) > 0 || !this.#searching.delete(share)) return
    this.#host.searchEnded(share)
  }
}

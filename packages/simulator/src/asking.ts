import { type PieceFailure, Swarm, type SwarmAction, type SwarmEvent } from '@layermesh/swarm'
import type { Message, Offer, Peer, Surroundings, Transfer } from './peer.ts'
import type { Share } from './share.ts'

export interface AskingHost {
  readonly self: Peer
  share(digest: string): Share | undefined
  peer(id: string): Peer | undefined
  isNear(peer: Peer): boolean
  search(share: Share): void
  ban(peer: Peer, forMs: number): void
  /** The node brings in these pieces from an origin or from afar. */
  fetching(share: Share, pieces: readonly number[]): void
  kept(share: Share, piece: number): void
  completed(share: Share): void
  gaveUp(share: Share): void
}

/** The asking side of a node: carries out what the swarm decides, and tells it what happened. */
export class Asking {
  readonly #host: AskingHost
  readonly #world: Surroundings
  readonly #swarm: Swarm
  /** What is to be told next; the swarm is never stepped from within a step. */
  readonly #events: SwarmEvent[] = []
  #stepping = false

  constructor(host: AskingHost, world: Surroundings) {
    this.#host = host
    this.#world = world
    this.#swarm = new Swarm(host.self.id, world.scenario.swarm)
  }

  want(share: Share): void {
    const { digest, size, pieceLength } = share.blob
    this.tell({ type: 'want', digest, size, pieceLength, held: share.snapshot() })
  }

  stop(share: Share): void {
    this.tell({ type: 'stop', digest: share.blob.digest })
  }

  joined(share: Share, peer: Peer, { pieces, fetching }: Offer): void {
    const scope = this.#host.isNear(peer) ? 'zone' : 'far'
    this.tell({ type: 'peer-joined', digest: share.blob.digest, peer: peer.id, scope, pieces, fetching })
  }

  told(share: Share, peer: Peer, { pieces, fetching }: Extract<Message, { type: 'have' }>): void {
    const { digest } = share.blob
    if (!share.joined.has(peer)) return
    if (fetching.length > 0) this.tell({ type: 'peer-fetching', digest, peer: peer.id, pieces: fetching })
    if (pieces.length > 0) this.tell({ type: 'peer-has', digest, peer: peer.id, pieces })
  }

  /** What this node is bringing in from an origin or from afar. */
  fetching(share: Share): number[] {
    return this.#swarm.fetching(share.blob.digest)
  }

  rejected(share: Share, { giver, piece }: Transfer, reason: PieceFailure): void {
    if (share.owed.delete(share.owedKey(giver, piece))) this.failed(share, giver, piece, reason)
  }

  /** Some bytes of a piece have come. */
  progress(share: Share, transfer: Transfer, bytes: number): void {
    this.tell({ type: 'progress', peer: transfer.giver.id, bytes: this.isOwed(share, transfer) ? bytes : 0 })
  }

  /** A piece is here and was checked. */
  arrived(share: Share, transfer: Transfer, bytes: number, right: boolean): void {
    const { giver, piece } = transfer
    const owed = this.isOwed(share, transfer)
    this.progress(share, transfer, bytes)
    if (!owed) return
    share.owed.delete(share.owedKey(giver, piece))
    if (!right) return this.failed(share, giver, piece, 'wrong-bytes')
    share.held.set(piece)
    this.#world.observer.pieceKept?.(this.#host.self, transfer, right)
    this.#host.kept(share, piece)
    this.tell({ type: 'piece-arrived', digest: share.blob.digest, peer: giver.id, piece })
  }

  awaits(share: Share, piece: number): void {
    this.tell({ type: 'awaited', digest: share.blob.digest, piece })
  }

  searchEnded(share: Share): void {
    this.tell({ type: 'search-ended', digest: share.blob.digest })
  }

  tick(): void {
    this.tell({ type: 'tick' })
  }

  lost(peer: Peer): void {
    this.tell({ type: 'peer-gone', peer: peer.id })
  }

  private failed(share: Share, peer: Peer, piece: number, reason: PieceFailure): void {
    this.tell({ type: 'piece-failed', digest: share.blob.digest, peer: peer.id, piece, reason })
  }

  private isOwed(share: Share, transfer: Transfer): boolean {
    return share.owed.get(share.owedKey(transfer.giver, transfer.piece)) === transfer
  }

  private tell(event: SwarmEvent): void {
    this.#events.push(event)
    if (this.#stepping) return
    this.#stepping = true
    for (let next = this.#events.shift(); next; next = this.#events.shift()) {
      const actions = this.#swarm.step(this.#world.clock.now, next)
      this.#world.observer.swarmStepped?.(this.#host.self, next, actions)
      for (const action of actions) this.perform(action)
    }
    this.#stepping = false
  }

  private perform(action: SwarmAction): void {
    if (action.type === 'ban') {
      const peer = this.#host.peer(action.peer)
      if (peer) this.#host.ban(peer, action.forMs)
      return
    }
    const share = this.#host.share(action.digest)
    if (!share) return
    switch (action.type) {
      case 'request':
        return this.request(share, action.peer, action.piece)
      case 'cancel':
        return this.cancel(share, action.peer, action.piece)
      case 'tell-fetching':
        return this.#host.fetching(share, action.pieces)
      case 'find-peers':
        return this.#host.search(share)
      case 'complete':
        return this.#host.completed(share)
      case 'give-up':
        return this.#host.gaveUp(share)
    }
  }

  private request(share: Share, peerId: string, piece: number): void {
    const { self } = this.#host
    const giver = this.#host.peer(peerId)
    if (!giver) return
    const transfer: Transfer = { asker: self, giver, blob: share.blob, piece, bytes: share.blob.bytesOf(piece) }
    if (!this.#world.isConnected(self, giver)) return this.failed(share, giver, piece, 'lost')
    share.owed.set(share.owedKey(giver, piece), transfer)
    this.#world.post(self, giver, { type: 'request', transfer })
  }

  private cancel(share: Share, peerId: string, piece: number): void {
    const giver = this.#host.peer(peerId)
    const key = giver && share.owedKey(giver, piece)
    const transfer = key === undefined ? undefined : share.owed.get(key)
    if (!giver || key === undefined || !transfer) return
    share.owed.delete(key)
    this.#world.post(this.#host.self, giver, { type: 'cancel', transfer })
  }
}

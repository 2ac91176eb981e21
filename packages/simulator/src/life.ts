import { Bitfield, type Digest } from '@layermesh/oci'
import { Asking } from './asking.ts'
import { Giving } from './giving.ts'
import { Joining } from './joining.ts'
import type { Message, Offer, Peer, Surroundings } from './peer.ts'
import { Reader } from './reader.ts'
import type { Share } from './share.ts'

/** Whose life it is. */
export interface Self extends Peer {
  readonly origin: boolean
  readonly lies: boolean
  readonly frozen: boolean
  readonly shares: ReadonlyMap<Digest, Share>
  readonly bans: Map<Peer, number>
  isBanned(peer: Peer): boolean
}

/** Pause before a client asks again for a blob that was given up. */
const RETRY_MS = 1_000

/**
 * A node from its start to its crash: the two state machines of the real swarm, of which {@link Asking} and
 * {@link Giving} are the hands, and all else that a crash takes with it. It does what `exchange` of the mesh does with a
 * real network.
 */
export class Life {
  readonly self: Self
  readonly giving: Giving
  readonly #asking: Asking
  readonly #joining: Joining
  readonly #directory: ReadonlyMap<string, Peer>
  readonly #world: Surroundings
  #ended = false
  #ticking = false

  constructor(self: Self, directory: ReadonlyMap<string, Peer>, world: Surroundings) {
    this.self = self
    this.#directory = directory
    this.#world = world
    this.giving = new Giving(this, world)
    this.#asking = new Asking(this, world)
    this.#joining = new Joining(this, world)
  }

  end(): void {
    this.#ended = true
  }

  want(share: Share): void {
    if (share.whole) return
    share.wanted = true
    share.wantedAt ??= this.#world.clock.now
    this.#asking.want(share)
    if (share.readers.length === 0) this.addReaders(share)
    for (const reader of share.readers) reader.start()
    this.#joining.search(share)
    this.keepTicking()
  }

  /** Gets from outside what it has not, if anything: the blobs side by side, each in order. */
  bringIn(): void {
    const { clock, scenario } = this.#world
    if (scenario.enterBytesPerSecond === 0) return
    const missing = [...this.self.shares.values()].flatMap((share) =>
      Array.from({ length: share.blob.pieces }, (_, piece) => ({ share, piece })).filter(
        ({ piece }) => !share.held.has(piece)
      )
    )
    let atMs = 0
    for (const { share, piece } of missing.sort((one, other) => one.piece - other.piece)) {
      atMs += (share.blob.bytesOf(piece) / scenario.enterBytesPerSecond) * 1000
      clock.after(atMs, () => {
        if (this.#ended) return
        share.held.set(piece)
        this.giving.entered(share, piece)
      })
    }
  }

  receive(message: Message, from: Peer): void {
    if (message.type === 'request') {
      this.giving.requested(message.transfer)
      return this.keepTicking()
    }
    if (message.type === 'cancel') return this.giving.cancelled(message.transfer)
    const blob = 'transfer' in message ? message.transfer.blob : message.blob
    const share = this.share(blob.digest)
    if (!share) return
    switch (message.type) {
      case 'join':
        return this.#joining.answer(share, from)
      case 'joined':
      case 'refused':
        return this.#joining.take(share, from, message)
      case 'leave':
        share.followers.delete(from)
        return
      case 'have':
        return this.#asking.told(share, from, message)
      case 'reject':
        return this.#asking.rejected(share, message.transfer, message.reason)
      case 'data':
        return this.#asking.progress(share, message.transfer, message.bytes)
      case 'piece':
        return this.#asking.arrived(share, message.transfer, message.bytes, message.right)
    }
  }

  lost(peer: Peer): void {
    for (const share of this.self.shares.values()) {
      for (const [key, transfer] of share.owed) if (transfer.giver === peer) share.owed.delete(key)
    }
    this.#asking.lost(peer)
    this.giving.lost(peer)
    for (const share of this.self.shares.values()) this.#joining.lost(share, peer)
  }

  // --- what its parts ask of it

  get origin(): boolean {
    return this.self.origin
  }

  get lies(): boolean {
    return this.self.lies
  }

  share(digest: string): Share | undefined {
    return this.self.shares.get(digest as Digest)
  }

  peer(id: string): Peer | undefined {
    return this.#directory.get(id)
  }

  isNear(peer: Peer): boolean {
    return peer.zone === this.self.zone
  }

  isBanned(peer: Peer): boolean {
    return this.self.isBanned(peer)
  }

  offer(share: Share): Offer {
    return {
      pieces: this.lies ? Bitfield.full(share.blob.pieces) : share.snapshot(),
      fetching: this.#asking.fetching(share)
    }
  }

  joined(share: Share, peer: Peer, offer: Offer): void {
    this.#asking.joined(share, peer, offer)
  }

  search(share: Share): void {
    this.#joining.search(share)
  }

  searchEnded(share: Share): void {
    // A search goes on past the crash of whoever began it; nobody hears of its end.
    if (!this.#ended) this.#asking.searchEnded(share)
  }

  ban(peer: Peer, forMs: number): void {
    this.self.bans.set(peer, this.#world.clock.now + forMs)
    this.#world.disconnect(this.self, peer)
  }

  fetching(share: Share, pieces: readonly number[]): void {
    this.giving.fetching(share, pieces)
  }

  kept(share: Share, piece: number): void {
    this.giving.kept(share, piece)
    for (const reader of share.readers) reader.kept(piece)
  }

  completed(share: Share): void {
    share.finishedAt ??= this.#world.clock.now
    this.stop(share)
  }

  gaveUp(share: Share): void {
    share.gaveUp++
    this.stop(share)
    this.#world.clock.after(RETRY_MS, () => {
      if (!this.#ended) this.want(share)
    })
  }

  private stop(share: Share): void {
    share.wanted = false
    this.#asking.stop(share)
    this.#joining.leave(share)
  }

  private addReaders(share: Share): void {
    const { readBlobs, rangesPerBlob, readerBytesPerSecond } = this.#world.scenario
    const { blob } = share
    if ([...this.self.shares.values()].indexOf(share) >= readBlobs) return
    const rate = readerBytesPerSecond === 0 ? Number.POSITIVE_INFINITY : readerBytesPerSecond / 1000
    for (let range = 0; range < rangesPerBlob; range++) {
      const start = Math.floor((blob.pieces * range) / rangesPerBlob)
      const end = Math.floor((blob.pieces * (range + 1)) / rangesPerBlob)
      const source = {
        has: (piece: number) => share.held.has(piece),
        bytesOf: (piece: number) => blob.bytesOf(piece),
        awaits: (piece: number) => this.awaits(share, piece)
      }
      share.readers.push(new Reader(this.#world.clock, source, { start, end }, rate))
    }
  }

  private awaits(share: Share, piece: number): void {
    if (!this.#ended) this.#asking.awaits(share, piece)
  }

  private keepTicking(): void {
    if (this.#ticking || this.#ended) return
    this.#ticking = true
    this.#world.clock.after(this.#world.scenario.tickMs, () => this.tick())
  }

  private tick(): void {
    this.#ticking = false
    if (this.#ended) return
    const wanted = [...this.self.shares.values()].some((share) => share.wanted)
    if (!this.self.frozen) {
      if (wanted) this.#asking.tick()
      this.giving.tick()
    }
    if (wanted || this.giving.busy) this.keepTicking()
  }
}

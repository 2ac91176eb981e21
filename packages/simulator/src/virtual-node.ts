import type { Digest } from '@layermesh/oci'
import { Life } from './life.ts'
import type { Message, Peer, Surroundings, Transfer } from './peer.ts'
import { Share } from './share.ts'
import type { VirtualBlob } from './virtual-blob.ts'

export interface VirtualNodeInit {
  readonly id: string
  readonly index: number
  readonly zone: number
  readonly origin: boolean
  readonly lies: boolean
  readonly blobs: readonly VirtualBlob[]
  /** All nodes, by peer id. */
  readonly directory: ReadonlyMap<string, Peer>
}

/**
 * One node: what it has of each blob, which outlives a crash, and its {@link Life}, which does not.
 */
export class VirtualNode implements Peer {
  readonly id: string
  readonly index: number
  readonly zone: number
  readonly origin: boolean
  readonly lies: boolean
  readonly shares = new Map<Digest, Share>()
  readonly bans = new Map<Peer, number>()
  readonly #directory: ReadonlyMap<string, Peer>
  readonly #world: Surroundings
  #life: Life | undefined
  /** What came while the node stood still. */
  #inbox: (() => void)[] | undefined

  constructor(init: VirtualNodeInit, world: Surroundings) {
    this.id = init.id
    this.index = init.index
    this.zone = init.zone
    this.origin = init.origin
    this.lies = init.lies
    this.#directory = init.directory
    this.#world = world
    for (const blob of init.blobs)
      this.shares.set(blob.digest, new Share(blob, init.origin && world.scenario.enterBytesPerSecond === 0))
  }

  get alive(): boolean {
    return this.#life !== undefined
  }

  get frozen(): boolean {
    return this.#inbox !== undefined
  }

  get finished(): boolean {
    for (const share of this.shares.values()) if (!share.whole) return false
    return true
  }

  /** Bytes of the pieces that it has. */
  get heldBytes(): number {
    let bytes = 0
    for (const { held, blob } of this.shares.values()) {
      for (let piece = 0; piece < blob.pieces; piece++) if (held.has(piece)) bytes += blob.bytesOf(piece)
    }
    return bytes
  }

  /** Begins, or comes back with what it has on its disk. */
  start(): void {
    this.#life = new Life(this, this.#directory, this.#world)
    this.#world.observer.started?.(this)
    if (this.origin) this.#life.bringIn()
    else for (const share of this.shares.values()) this.#life.want(share)
  }

  /** It is gone from one moment to the next; what it holds stays on its disk. */
  crash(): void {
    this.#life?.end()
    this.#life = undefined
    this.#inbox = undefined
    this.bans.clear()
    for (const share of this.shares.values()) share.forgetPeers()
  }

  /** It stands still: what comes waits. */
  freeze(): void {
    this.#inbox ??= []
  }

  thaw(): void {
    const inbox = this.#inbox ?? []
    this.#inbox = undefined
    for (const happen of inbox) happen()
  }

  isBanned(peer: Peer): boolean {
    return (this.bans.get(peer) ?? 0) > this.#world.clock.now
  }

  receive(message: Message, from: Peer): void {
    this.whenAwake((life) => life.receive(message, from))
  }

  lost(peer: Peer): void {
    this.whenAwake((life) => life.lost(peer))
  }

  /** More bytes of a piece that it sends were taken; with `finished`, the last ones. */
  sent(transfer: Transfer, bytes: number, finished: boolean): void {
    this.whenAwake(({ giving }) => (finished ? giving.finished(transfer, bytes) : giving.sent(transfer, bytes)))
  }

  private whenAwake(happen: (life: Life) => void): void {
    const life = this.#life
    if (!life) return
    if (!this.#inbox) return happen(life)
    this.#inbox.push(() => {
      if (this.#life === life) happen(life)
    })
  }
}

import { Bitfield } from '@layermesh/oci'
import { Interest } from './interest.ts'
import type { Peer, Transfer } from './peer.ts'
import type { Reader } from './reader.ts'
import type { VirtualBlob } from './virtual-blob.ts'

/** What one node has and does of one blob. */
export class Share {
  readonly blob: VirtualBlob
  readonly held: Bitfield
  readonly readers: Reader[] = []
  /** Peers whose offer this node has taken. */
  readonly joined = new Set<Peer>()
  /** These, and those who have yet to answer. */
  readonly asked = new Set<Peer>()
  /** Peers that take the blob from this node, and whether they were told that all of it is here. */
  readonly followers = new Map<Peer, boolean>()
  readonly interest = new Interest()
  /** What was asked and is not here, by {@link owedKey}. */
  readonly owed = new Map<number, Transfer>()
  wanted = false
  wantedAt: number | undefined
  finishedAt: number | undefined
  gaveUp = 0

  constructor(blob: VirtualBlob, whole: boolean) {
    this.blob = blob
    this.held = whole ? Bitfield.full(blob.pieces) : new Bitfield(blob.pieces)
  }

  get whole(): boolean {
    return this.held.count === this.held.length
  }

  /** A copy of the pieces that are here. */
  snapshot(): Bitfield {
    return Bitfield.fromBytes(this.held.toBytes(), this.held.length) ?? new Bitfield(this.held.length)
  }

  /** When the first reader had its first piece. */
  get firstByteAt(): number | undefined {
    const times = this.readers.flatMap(({ firstByteAt }) => firstByteAt ?? [])
    return times.length === 0 ? undefined : Math.min(...times)
  }

  /** All connections are gone. */
  forgetPeers(): void {
    this.wanted = false
    this.joined.clear()
    this.asked.clear()
    this.followers.clear()
    this.owed.clear()
  }

  owedKey(giver: Peer, piece: number): number {
    return giver.index * this.blob.pieces + piece
  }
}

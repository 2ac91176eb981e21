import type { Bitfield } from '@layermesh/oci'
import type { PieceFailure, SwarmAction, SwarmEvent, UploadAction, UploadEvent } from '@layermesh/swarm'
import type { Clock } from './clock.ts'
import type { Random } from './random.ts'
import type { Scenario } from './scenario.ts'
import type { VirtualBlob } from './virtual-blob.ts'

/** A node as other nodes see it: where it is, and that it takes messages. */
export interface Peer {
  readonly id: string
  /** Its number in the world. */
  readonly index: number
  readonly zone: number
  /** A message has come. */
  receive(message: Message, from: Peer): void
  /** The connection to a peer is gone. */
  lost(peer: Peer): void
}

/** One piece that one node asked of another, from the request to the last byte. */
export interface Transfer {
  readonly asker: Peer
  readonly giver: Peer
  readonly blob: VirtualBlob
  readonly piece: number
  readonly bytes: number
}

/** What a peer has of a blob. */
export interface Offer {
  readonly pieces: Bitfield
  /** What it is bringing in from an origin or from afar. */
  readonly fetching: readonly number[]
}

/** What nodes tell each other; the names are those of the mesh's protocol. */
export type Message =
  | { readonly type: 'join'; readonly blob: VirtualBlob }
  | ({ readonly type: 'joined'; readonly blob: VirtualBlob; readonly names: readonly Peer[] } & Offer)
  | { readonly type: 'refused'; readonly blob: VirtualBlob; readonly names: readonly Peer[] }
  | { readonly type: 'leave'; readonly blob: VirtualBlob }
  | {
      readonly type: 'have'
      readonly blob: VirtualBlob
      readonly pieces: readonly number[]
      readonly fetching: readonly number[]
    }
  | { readonly type: 'request'; readonly transfer: Transfer }
  | { readonly type: 'cancel'; readonly transfer: Transfer }
  | { readonly type: 'reject'; readonly transfer: Transfer; readonly reason: PieceFailure }
  /** Some more bytes of a piece came; 0 for a sign of life. */
  | { readonly type: 'data'; readonly transfer: Transfer; readonly bytes: number }
  /** The last byte of a piece came. */
  | { readonly type: 'piece'; readonly transfer: Transfer; readonly bytes: number; readonly right: boolean }

/** What is around a node: time, chance, and the network. */
export interface Surroundings {
  readonly scenario: Scenario
  readonly clock: Clock
  readonly random: Random
  readonly origins: readonly Peer[]
  readonly observer: Observer
  /** Makes a connection, or keeps the one there is. @returns false when the peer can't be reached */
  connect(from: Peer, to: Peer): boolean
  isConnected(from: Peer, to: Peer): boolean
  /** Ends the connection; the peer learns it in a while. */
  disconnect(from: Peer, to: Peer): void
  /** Sends a message over the connection; it is lost with it. */
  post(from: Peer, to: Peer, message: Message): void
  /** The same message to many. */
  postAll(from: Peer, to: readonly Peer[], message: Message): void
  /** Lets the bytes of a piece flow. */
  send(transfer: Transfer): void
}

/** Sees all that the nodes do, and changes nothing. */
export interface Observer {
  /** A node begins, or begins again after a crash, with state machines that know nothing. */
  started?(node: Peer): void
  swarmStepped?(node: Peer, event: SwarmEvent, actions: readonly SwarmAction[]): void
  uploadsStepped?(node: Peer, event: UploadEvent, actions: readonly UploadAction[]): void
  /** A node keeps a piece, and will use it and pass it on. */
  pieceKept?(node: Peer, transfer: Transfer, right: boolean): void
}

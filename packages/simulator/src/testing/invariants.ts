import {
  SWARM_DEFAULTS,
  type SwarmAction,
  type SwarmEvent,
  UPLOAD_DEFAULTS,
  type UploadAction,
  type UploadEvent
} from '@layermesh/swarm'
import type { Observer, Peer, Transfer } from '../peer.ts'
import type { Scenario } from '../scenario.ts'

interface Owed {
  readonly peer: string
  readonly digest: string
  readonly piece: number
}

/** What one node owes and gives, counted from what goes into and comes out of its state machines. */
interface Books {
  readonly owed: Map<string, Owed>
  /** Requests that a peer made here: of whom, and whether they are being sent. */
  readonly uploads: Map<number, { readonly peer: string; sending: boolean }>
}

/**
 * Watches all nodes and notes what must never happen: a bad piece kept, more asked or sent at one time than the options
 * allow, something asked of a banned peer, a piece asked that is owed by the same peer already.
 */
export class Invariants implements Observer {
  readonly broken: string[] = []
  /** Who was sent wrong bytes, and by whom. */
  readonly cheated: { readonly node: Peer; readonly by: string }[] = []
  readonly #scenario: Scenario
  readonly #books = new Map<Peer, Books>()
  readonly #banned = new Map<Peer, Set<string>>()

  constructor(scenario: Scenario) {
    this.#scenario = scenario
  }

  started(node: Peer): void {
    this.#books.delete(node)
    this.#banned.delete(node)
  }

  pieceKept(node: Peer, { piece, giver }: Transfer, right: boolean): void {
    if (!right) this.broken.push(`${node.id} keeps a wrong piece ${piece} of ${giver.id}`)
  }

  swarmStepped(node: Peer, event: SwarmEvent, actions: readonly SwarmAction[]): void {
    const { owed } = this.books(node)
    if (event.type === 'piece-arrived' || event.type === 'piece-failed') owed.delete(keyOf(event))
    if (event.type === 'piece-failed' && event.reason === 'wrong-bytes') this.cheated.push({ node, by: event.peer })
    if (event.type === 'peer-gone') for (const [key, { peer }] of owed) if (peer === event.peer) owed.delete(key)
    if (event.type === 'peer-joined') this.banned(node).delete(event.peer)
    for (const action of actions) this.note(node, action)
    this.checkOwed(node)
  }

  uploadsStepped(node: Peer, event: UploadEvent, actions: readonly UploadAction[]): void {
    const { uploads } = this.books(node)
    if (event.type === 'requested') uploads.set(event.request, { peer: event.peer, sending: false })
    if (event.type === 'finished' || event.type === 'cancelled') uploads.delete(event.request)
    if (event.type === 'peer-gone') {
      for (const [request, { peer }] of uploads) if (peer === event.peer) uploads.delete(request)
    }
    for (const { type, request } of actions) {
      const upload = uploads.get(request)
      if (!upload) this.broken.push(`${node.id} was told to ${type} request ${request}, which nobody made`)
      else if (type === 'send') upload.sending = true
      else uploads.delete(request)
    }
    this.checkUploads(node)
  }

  private note(node: Peer, action: SwarmAction): void {
    const { owed } = this.books(node)
    if (action.type === 'cancel') owed.delete(keyOf(action))
    if (action.type === 'ban') {
      this.banned(node).add(action.peer)
      for (const [key, { peer }] of owed) if (peer === action.peer) owed.delete(key)
    }
    if (action.type !== 'request') return
    if (owed.has(keyOf(action))) this.broken.push(`${node.id} asks twice for ${keyOf(action)}`)
    if (this.banned(node).has(action.peer)) this.broken.push(`${node.id} asks ${action.peer}, which it banned`)
    owed.set(keyOf(action), action)
  }

  /** All pieces of a test world are of one length, so that counting them is counting bytes. */
  private checkOwed(node: Peer): void {
    const { owed } = this.books(node)
    const { pieceBytes, swarm } = this.#scenario
    const { maxOwedBytes, maxAheadBytesPerPeer } = { ...SWARM_DEFAULTS, ...swarm }
    // The last piece that is asked may go over the bound; of a peer, pieces that have come and are being checked count too.
    if ((owed.size - 1) * pieceBytes >= maxOwedBytes) this.broken.push(`${node.id} is owed ${owed.size} pieces`)
    const byPeer = new Map<string, number>()
    for (const { peer } of owed.values()) byPeer.set(peer, (byPeer.get(peer) ?? 0) + 1)
    for (const [peer, pieces] of byPeer) {
      if ((pieces - 3) * pieceBytes >= maxAheadBytesPerPeer)
        this.broken.push(`${node.id} is owed ${pieces} pieces by ${peer}`)
    }
  }

  private checkUploads(node: Peer): void {
    const { uploads } = this.books(node)
    const options = { ...UPLOAD_DEFAULTS, ...this.#scenario.uploads }
    let sending = 0
    const byPeer = new Map<string, { sending: number; waiting: number }>()
    for (const upload of uploads.values()) {
      const peer = byPeer.get(upload.peer) ?? { sending: 0, waiting: 0 }
      byPeer.set(upload.peer, peer)
      if (upload.sending) {
        sending++
        peer.sending++
      } else peer.waiting++
    }
    if (sending > options.slots + options.maxStalled) this.broken.push(`${node.id} sends ${sending} pieces`)
    for (const [id, peer] of byPeer) {
      if (peer.sending > options.slotsPerPeer) this.broken.push(`${node.id} sends ${peer.sending} pieces to ${id}`)
      if (peer.waiting > options.maxWaitingPerPeer) this.broken.push(`${node.id} lets ${peer.waiting} of ${id} wait`)
    }
  }

  private books(node: Peer): Books {
    const books = this.#books.get(node) ?? { owed: new Map(), uploads: new Map() }
    this.#books.set(node, books)
    return books
  }

  private banned(node: Peer): Set<string> {
    const banned = this.#banned.get(node) ?? new Set()
    this.#banned.set(node, banned)
    return banned
  }
}

function keyOf({ digest, peer, piece }: Owed): string {
  return `${piece} of ${digest} from ${peer}`
}

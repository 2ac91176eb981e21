import type { Digest } from '@layermesh/oci'
import {
  Turns,
  UPLOAD_DEFAULTS,
  type UploadAction,
  type UploadEvent,
  type UploadOptions,
  UploadScheduler
} from '@layermesh/swarm'
import type { Connection, Stream } from '@libp2p/interface'
import { MeshError } from '../errors.ts'
import { LIMITS, PROTOCOL } from '../limits.ts'
import type { Loans } from '../loans.ts'
import type { MeshHost } from '../network/host.ts'
import type { PeerDirectory } from '../network/peer-directory.ts'
import { type PieceWanted, ServingSession } from './serving-session.ts'
import type { Interest, Shelf } from './sharing.ts'

export interface ServingComponents {
  readonly host: MeshHost
  readonly directory: PeerDirectory
  readonly shelf: Shelf
  readonly loans: Loans
  readonly interest: Interest
  /** Milliseconds of a clock that never goes back. */
  now(): number
}

const TICK_MS = 100

/**
 * The giving side of the blob protocol: a session for each stream that a peer opened, and one {@link UploadScheduler}
 * that decides which of the pieces that all of them ask for is sent next.
 */
export class Serving {
  readonly #components: ServingComponents
  readonly #scheduler: UploadScheduler
  readonly #tellOthersAfterMs: number
  readonly #turns = new Turns()
  readonly #sessions = new Set<ServingSession>()
  readonly #wanted = new Map<number, PieceWanted>()
  #lastRequest = 0
  #ticker: NodeJS.Timeout | undefined
  #stopping = false

  /** @param options limits of what is given */
  constructor(components: ServingComponents, options: Partial<UploadOptions> = {}) {
    this.#components = components
    this.#scheduler = new UploadScheduler(options)
    this.#tellOthersAfterMs = { ...UPLOAD_DEFAULTS, ...options }.tellOthersAfterMs
  }

  async start(): Promise<void> {
    await this.#components.host.handle(PROTOCOL.blob, (stream, connection) => this.accept(stream, connection), {
      maxInboundStreams: LIMITS.inboundStreamsPerPeer
    })
  }

  /** Tells those who joined this blob that a piece of it is here now. */
  pieceKept(digest: Digest, piece: number): void {
    for (const session of this.#sessions) session.tell(digest, { pieces: [piece] })
  }

  /**
   * The same of a piece that this node brought into the mesh: one peer of the zone hears of it first, in turn, so that
   * the pieces are with all of them evenly and each passes on as much. The others hear in a moment, unless they have it
   * from that one by then; it may not want it, or not so soon.
   */
  pieceEntered(digest: Digest, piece: number): void {
    const { directory } = this.#components
    const near = [...this.#sessions].filter(
      (session) => session.hasJoined(digest) && directory.scope(session.peerId) === 'zone'
    )
    const first = this.#turns.next(near.map(({ peerId }) => peerId))
    const later = first === undefined ? [] : near.filter(({ peerId }) => peerId !== first)
    for (const session of this.#sessions) if (!later.includes(session)) session.tell(digest, { pieces: [piece] })
    if (later.length === 0) return
    setTimeout(() => {
      for (const session of later) if (this.#sessions.has(session)) session.tell(digest, { pieces: [piece] })
    }, this.#tellOthersAfterMs).unref()
  }

  /** Tells those who joined this blob that these pieces are being brought in. */
  piecesFetching(digest: Digest, pieces: readonly number[]): void {
    for (const session of this.#sessions) session.tell(digest, { fetching: pieces })
  }

  async stop(): Promise<void> {
    this.#stopping = true
    const sessions = [...this.#sessions]
    for (const session of sessions) session.end(new MeshError('PEER_UNREACHABLE', 'shutting down'))
    await Promise.all(sessions.map((session) => session.idle()))
  }

  private accept(stream: Stream, connection: Connection): void {
    if (this.#stopping) return stream.abort(new MeshError('PEER_UNREACHABLE', 'shutting down'))
    const peerId = connection.remotePeer.toString()
    const session: ServingSession = new ServingSession(peerId, stream, {
      ...this.#components,
      mayJoinWhole: (digest) => this.joinsOf(digest) < LIMITS.joinsPerWholeBlob,
      wanted: (wanted) => this.schedule(wanted),
      cancelled: (request) => this.settle({ type: 'cancelled', request }),
      sent: (request, bytes) => this.step({ type: 'sent', request, bytes }),
      finished: (request) => this.settle({ type: 'finished', request }),
      ended: () => this.forget(session)
    })
    this.#sessions.add(session)
  }

  private joinsOf(digest: Digest): number {
    let count = 0
    for (const session of this.#sessions) if (session.hasJoined(digest)) count++
    return count
  }

  private schedule(wanted: PieceWanted): number {
    const { directory } = this.#components
    const { session, digest, piece, pieces, bytes, whole } = wanted
    const request = ++this.#lastRequest
    const { peerId: peer } = session
    this.#wanted.set(request, wanted)
    this.#ticker ??= setInterval(() => this.step({ type: 'tick' }), TICK_MS)
    const [zone, scope] = [directory.zone(peer), directory.scope(peer)]
    this.step({ type: 'requested', request, peer, zone, scope, digest, piece, pieces, bytes, whole })
    return request
  }

  private settle(event: Extract<UploadEvent, { type: 'cancelled' | 'finished' }>): void {
    this.#wanted.delete(event.request)
    this.step(event)
    if (this.#wanted.size > 0) return
    clearInterval(this.#ticker)
    this.#ticker = undefined
  }

  private forget(session: ServingSession): void {
    this.#sessions.delete(session)
    for (const [request, wanted] of this.#wanted) {
      if (wanted.session === session) this.settle({ type: 'cancelled', request })
    }
    const { peerId: peer } = session
    if ([...this.#sessions].some(({ peerId }) => peerId === peer)) return
    this.#turns.forget(peer)
    this.step({ type: 'peer-gone', peer })
  }

  private step(event: UploadEvent): void {
    for (const action of this.#scheduler.step(this.#components.now(), event)) this.perform(action)
  }

  private perform(action: UploadAction): void {
    const wanted = this.#wanted.get(action.request)
    if (!wanted) return
    if (action.type === 'send') return void wanted.session.send(action.request, wanted)
    this.#wanted.delete(action.request)
    wanted.session.refuse(wanted, action.reason)
  }
}

import { Bitfield, type Digest, pieceRange } from '@layermesh/oci'
import { Readers, type ReadersOptions } from './readers.ts'
import { memberKey, scoreOf } from './rendezvous.ts'
import type { Source } from './source.ts'

/** A piece that was asked of a peer and is not here yet. */
export interface PieceRequest {
  readonly peer: string
  readonly at: number
}

/** One wanted blob: which pieces are here, which are asked of whom, who offers and who brings in what. */
export class BlobState {
  readonly digest: Digest
  readonly size: number
  readonly pieceLength: number
  readonly held: Bitfield
  readonly readers: Readers
  readonly sources = new Map<string, Source>()
  readonly requests = new Map<number, PieceRequest[]>()
  /** Pieces that members bring in: who, and when it was heard last. */
  readonly brought = new Map<number, { readonly peer: string; readonly at: number }>()
  /** Pieces that were given to another member, and where: until when they are not asked there again. */
  readonly #given = new Map<string, number>()
  /** When anything came of it, or a source joined, last. */
  lastProgressAt: number
  /** When payload of it came last. */
  payloadAt: number
  searching = false
  /** Whether it comes into the mesh at this moment, and whether by this node. */
  readonly entering: boolean
  gateway = false
  /** When it may be searched for the next time, and the pause after that. */
  nextSearchAt = Number.NEGATIVE_INFINITY
  searchPauseMs: number
  /** Grows with each change after which a source may be asked that could not be asked before. */
  state = 0
  /** How many members have each piece, near sources (members and origins), and sources in all. */
  readonly copies: Uint16Array
  readonly near: Uint16Array
  readonly offered: Uint16Array
  readonly wantedAt: number
  readonly #selfKey: number
  /** How many members come before this node for each piece; undefined when they have changed. */
  #ranks: Uint8Array | undefined
  #firstMissing = 0

  constructor(
    init: { digest: Digest; size: number; pieceLength: number; held: Bitfield; entering?: boolean },
    self: string,
    now: number,
    options: ReadersOptions & { readonly searchPauseMs: number }
  ) {
    this.digest = init.digest
    this.size = init.size
    this.pieceLength = init.pieceLength
    this.entering = init.entering ?? false
    this.held = Bitfield.fromBytes(init.held.toBytes(), init.held.length) ?? new Bitfield(init.held.length)
    this.readers = new Readers(options)
    this.lastProgressAt = now
    this.wantedAt = now
    this.payloadAt = now
    this.searchPauseMs = options.searchPauseMs
    this.copies = new Uint16Array(this.held.length)
    this.near = new Uint16Array(this.held.length)
    this.offered = new Uint16Array(this.held.length)
    this.#selfKey = memberKey(self, init.digest)
  }

  get complete(): boolean {
    return this.held.count === this.held.length
  }

  /** Whether a reader is at it. */
  get urgent(): boolean {
    return this.readers.places.length > 0
  }

  /** All pieces before this one are here. */
  get firstMissing(): number {
    while (this.held.has(this.#firstMissing)) this.#firstMissing++
    return this.#firstMissing
  }

  /** How many pieces are neither here nor asked for. */
  get openCount(): number {
    return this.held.length - this.held.count - this.requests.size
  }

  bytesOf(piece: number): number {
    const { start, end } = pieceRange(piece, this.size, this.pieceLength)
    return end - start
  }

  /** Whether a piece is neither here nor asked for. */
  isOpen(piece: number): boolean {
    return !this.held.has(piece) && !this.requests.has(piece)
  }

  /** This node's own score for a piece: who brings it in, and an order of pieces that is another at each node. */
  score(piece: number): number {
    return scoreOf(this.#selfKey, piece)
  }

  isAsked(piece: number, peer: string): boolean {
    return this.requests.get(piece)?.some((request) => request.peer === peer) ?? false
  }

  /** How many members come before this node in bringing a piece in. */
  rank(piece: number): number {
    this.#ranks ??= this.computeRanks()
    return this.#ranks[piece] ?? 0
  }

  addSource(source: Source): void {
    this.removeSource(source.peer)
    this.sources.set(source.peer, source)
    for (let piece = 0; piece < this.held.length; piece++)
      if (source.pieces.has(piece)) this.countPiece(source, piece, 1)
    if (source.brings) this.#ranks = undefined
    this.state++
  }

  removeSource(peer: string): void {
    const source = this.sources.get(peer)
    if (!source) return
    if (source.brings) this.#ranks = undefined
    this.sources.delete(peer)
    for (let piece = 0; piece < this.held.length; piece++) {
      if (source.pieces.has(piece)) this.countPiece(source, piece, -1)
    }
    for (const [piece, { peer: bringer }] of this.brought) if (bringer === peer) this.brought.delete(piece)
    this.state++
  }

  addPiece(source: Source, piece: number): void {
    const brought = source.brings
    if (!source.pieces.set(piece)) return
    this.countPiece(source, piece, 1)
    if (source.kind === 'member') this.brought.delete(piece)
    if (brought && !source.brings) this.#ranks = undefined
    this.state++
  }

  removePiece(source: Source, piece: number): void {
    const brought = source.brings
    if (!source.pieces.clear(piece)) return
    this.countPiece(source, piece, -1)
    if (source.brings !== brought) this.#ranks = undefined
    this.state++
  }

  /** The piece is here. */
  keep(piece: number): void {
    if (this.isOpen(piece)) this.countUseful(piece, -1)
    this.requests.delete(piece)
    this.held.set(piece)
    this.brought.delete(piece)
  }

  /** A source has given the piece to another member, from whom it can be had soon. */
  noteGiven(piece: number, source: Source, until: number): void {
    this.#given.set(givenKey(piece, source), until)
  }

  /** Whether the piece was lately given to another member where it would be asked. */
  isGiven(piece: number, source: Source, now: number): boolean {
    return this.#given.size > 0 && (this.#given.get(givenKey(piece, source)) ?? 0) > now
  }

  expireGiven(now: number): void {
    for (const [key, until] of this.#given) if (until <= now) this.#given.delete(key)
  }

  addRequest(piece: number, request: PieceRequest): void {
    const others = this.requests.get(piece)
    if (others) others.push(request)
    else {
      this.countUseful(piece, -1)
      this.requests.set(piece, [request])
    }
  }

  /** @returns whether it had been asked of this peer */
  removeRequest(piece: number, peer: string): boolean {
    const all = this.requests.get(piece)
    if (!all || !this.isAsked(piece, peer)) return false
    const others = all.filter((request) => request.peer !== peer)
    if (others.length > 0) this.requests.set(piece, others)
    else {
      this.requests.delete(piece)
      if (!this.held.has(piece)) this.countUseful(piece, 1)
      this.state++
    }
    return true
  }

  /** Whether some piece that is not here is offered by no source and brought in by nobody. */
  lacksSource(): boolean {
    for (let piece = this.firstMissing; piece < this.held.length; piece++) {
      if (this.offered[piece] === 0 && !this.held.has(piece) && !this.brought.has(piece)) return true
    }
    return false
  }

  /** The first piece other than `except` that is not here and that no source offers; undefined when there is none. */
  firstUnoffered(except: number | undefined): number | undefined {
    for (let piece = this.firstMissing; piece < this.held.length; piece++) {
      if (this.offered[piece] === 0 && !this.held.has(piece) && piece !== except) return piece
    }
    return undefined
  }

  private computeRanks(): Uint8Array {
    const ranks = new Uint8Array(this.held.length)
    const members = [...this.sources.values()].filter((source) => source.brings)
    for (let piece = 0; piece < ranks.length; piece++) {
      const own = this.score(piece)
      ranks[piece] = members.filter(({ key }) => scoreOf(key, piece) > own).length
    }
    return ranks
  }

  private countPiece(source: Source, piece: number, by: 1 | -1): void {
    add(this.offered, piece, by)
    if (source.kind !== 'far') add(this.near, piece, by)
    if (source.kind === 'member') add(this.copies, piece, by)
    if (this.isOpen(piece)) source.useful += by
  }

  private countUseful(piece: number, by: 1 | -1): void {
    for (const source of this.sources.values()) if (source.pieces.has(piece)) source.useful += by
  }
}

function add(counts: Uint16Array, index: number, by: number): void {
  counts[index] = (counts[index] ?? 0) + by
}

/** What one far peer has given has crossed the link: it is not asked of another one. An origin answers for itself. */
function givenKey(piece: number, { kind, peer }: Source): string {
  return `${piece} ${kind === 'far' ? kind : peer}`
}

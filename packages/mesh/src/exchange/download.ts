import type { BeginDownload, PartialBlob } from '@layermesh/content'
import { Bitfield, type Digest, digestAlgorithm, digestOf, pieceCount } from '@layermesh/oci'
import { type PieceMap, verifyPiece } from '@layermesh/trust'
import type { BlobRequest, TransferSummary } from '../interfaces.ts'
import type { Joined } from '../wire/blob-messages.ts'

/** No blob has more pieces, see `pieceLengthFor`. */
const MAX_PIECES = 4_096

/** A peer's answer to a join, checked. */
export interface CheckedOffer {
  readonly peerId: string
  readonly size: number
  readonly pieces: Bitfield
  /** Undefined for a blob of at most one piece, which its digest proves. */
  readonly map?: {
    readonly pieces: PieceMap
    readonly envelope: Uint8Array
    readonly signer: string
    readonly trusted: boolean
  }
}

/** Where one blob stands on its way here. */
export class Download {
  readonly digest: Digest
  readonly request: BlobRequest
  /** Peers that were asked in the present search. */
  readonly asked = new Set<string>()
  /** Offers of many pieces that came before the download began. */
  readonly waiting: CheckedOffer[] = []
  /** Offers of the blob as one piece, to be tried one after the other. */
  readonly smallOffers: CheckedOffer[] = []
  /** Pieces that peers told of before their offer was taken. */
  readonly earlyPieces = new Map<string, Set<number>>()
  /** Peers whose offers the swarm knows. */
  readonly joined = new Set<string>()
  /** Whether a blob of one piece is being asked for. */
  takingSmall = false
  readonly #begin: BeginDownload
  readonly #bytesBy = new Map<string, number>()
  readonly #finished = Promise.withResolvers<void>()
  #begun: { offer: CheckedOffer; blob: PartialBlob } | undefined
  #beginning: Promise<PartialBlob> | undefined
  #settled = false

  constructor(digest: Digest, request: BlobRequest, begin: BeginDownload) {
    this.digest = digest
    this.request = request
    this.#begin = begin
    this.#finished.promise.catch(() => {})
  }

  /** Settles when all pieces are here, or when the download has to be given up. */
  get finished(): Promise<void> {
    return this.#finished.promise
  }

  get settled(): boolean {
    return this.#settled
  }

  get blob(): PartialBlob | undefined {
    return this.#begun?.blob
  }

  get begun(): boolean {
    return this.#beginning !== undefined
  }

  /** The signed map that the pieces were checked with. */
  get map(): CheckedOffer['map'] {
    return this.#begun?.offer.map
  }

  /** The signed map, for peers, when somebody trusted signed it. */
  get sharedMap(): Uint8Array | undefined {
    const map = this.#begun?.offer.map
    return map?.trusted ? map.envelope : undefined
  }

  /** Fixes length and piece map by one offer; those that come later must agree with it. */
  async begin(offer: CheckedOffer): Promise<PartialBlob> {
    const { size, map } = offer
    // Pieces that an earlier attempt left by another map must not be held against the signer of this one.
    const hashes = map ? { pieceHashes: map.pieces.hashes } : {}
    this.#beginning ??= this.#begin({ size, cutThrough: map?.trusted ?? true, ...hashes }).then((blob) => {
      this.#begun = { offer, blob }
      return blob
    })
    return await this.#beginning
  }

  /** Whether these are the bytes of the piece. */
  verify(piece: number, bytes: Uint8Array): boolean {
    const map = this.#begun?.offer.map
    return map !== undefined && verifyPiece(map.pieces, piece, bytes)
  }

  /** A peer may tell of new pieces right behind its offer, while that is still being checked. */
  noteEarlyPieces(peerId: string, pieces: readonly number[]): void {
    const noted = this.earlyPieces.get(peerId) ?? new Set()
    for (const piece of pieces) if (piece < MAX_PIECES) noted.add(piece)
    this.earlyPieces.set(peerId, noted)
  }

  count(peerId: string, bytes: number): void {
    this.#bytesBy.set(peerId, (this.#bytesBy.get(peerId) ?? 0) + bytes)
  }

  complete(): void {
    this.#settled = true
    this.#finished.resolve()
  }

  fail(error: Error): void {
    this.#settled = true
    this.#finished.reject(error)
  }

  summary(): TransferSummary | undefined {
    const blob = this.#begun?.blob
    if (!blob) return undefined
    return {
      digest: this.digest,
      size: blob.size,
      heldBytes: Math.min(blob.size, blob.heldPieces * blob.pieceLength),
      sources: [...this.#bytesBy].map(([peerId, bytes]) => ({ peerId, bytes }))
    }
  }
}

/** Whether bytes that came whole are the blob. */
export function isBlob(digest: Digest, bytes: Uint8Array): boolean {
  return digestOf(bytes, digestAlgorithm(digest)) === digest
}

/** The pieces that a peer offers; undefined when its bits don't fit the length. */
export function offeredPieces(answer: Joined): Bitfield | undefined {
  const count = pieceCount(answer.size)
  return answer.held === undefined ? Bitfield.full(count) : Bitfield.fromBytes(answer.held, count)
}

/** The pieces of a blob that are here already. */
export function heldPieces(blob: PartialBlob): Bitfield {
  return Bitfield.fromBytes(blob.bitfield(), blob.pieceCount) ?? new Bitfield(blob.pieceCount)
}

import type { BeginDownload, PartialBlob } from '@layermesh/content'
import { Bitfield, type Digest, pieceCount } from '@layermesh/oci'
import type { PeerScope } from '@layermesh/swarm'
import type { PrivateKey } from '@libp2p/interface'
import { MeshError } from '../errors.ts'
import type { BlobRequest, TransferSummary } from '../interfaces.ts'
import { LIMITS } from '../limits.ts'
import type { CheckedOffer } from './offers.ts'
import { PieceLedger } from './piece-ledger.ts'
import type { Supply } from './search.ts'

/** No blob has more pieces, see `pieceLengthFor`. */
const MAX_PIECES = 4_096

/** Where one blob stands on its way here. */
export class Download {
  readonly digest: Digest
  readonly request: BlobRequest
  /** Peers that were asked in the present search. */
  readonly asked = new Set<string>()
  /** Peers whose answer is awaited. */
  readonly asking = new Set<string>()
  /** Peers that want the blob too and are asked until they have something of it; each is asked at once when called. */
  readonly meeting = new Map<string, () => void>()
  /** Offers of many pieces that came before the download began. */
  readonly waiting: CheckedOffer[] = []
  /** Offers of the blob as one piece, to be tried one after the other. */
  readonly smallOffers: CheckedOffer[] = []
  /** Pieces that peers told of before their offer was taken. */
  readonly earlyPieces = new Map<string, Set<number>>()
  /** Peers that contradict what is known of the pieces. */
  readonly disagreeing = new Set<string>()
  /** Of a blob that comes into the mesh by this node: those who joined were told of the pieces before this one. */
  toldPieces = 0
  /** Peers whose offers the swarm knows, and whether they are near. */
  readonly joined = new Map<string, PeerScope>()
  /** Whether a blob of one piece is being asked for. */
  takingSmall = false
  readonly #begin: BeginDownload
  readonly #bytesBy = new Map<string, number>()
  readonly #originBytes = new Map<string, number>()
  readonly #finished = Promise.withResolvers<void>()
  readonly #shareable = Promise.withResolvers<void>()
  #begun: { offer?: CheckedOffer; blob: PartialBlob } | undefined
  #ledger: PieceLedger | undefined
  readonly #self: { readonly peerId: string; readonly privateKey: PrivateKey }
  #beginning: Promise<PartialBlob> | undefined
  #settled = false
  #complete = false

  /** @param self who signs what comes into the mesh here */
  constructor(
    digest: Digest,
    request: BlobRequest,
    begin: BeginDownload,
    self: { readonly peerId: string; readonly privateKey: PrivateKey }
  ) {
    this.digest = digest
    this.request = request
    this.#begin = begin
    this.#self = self
    this.#finished.promise.catch(() => {})
  }

  /** Settles when all pieces are here, or when the download has to be given up. */
  get finished(): Promise<void> {
    return this.#finished.promise
  }

  get settled(): boolean {
    return this.#settled
  }

  /** Whether all of it came; the whole may not be verified yet. */
  get isComplete(): boolean {
    return this.#complete
  }

  get blob(): PartialBlob | undefined {
    return this.#begun?.blob
  }

  get begun(): boolean {
    return this.#beginning !== undefined
  }

  /** The signed map that the pieces were checked with. */
  get map(): CheckedOffer['map'] {
    return this.#begun?.offer?.map
  }

  /** The signed map, for peers, when somebody trusted signed it. */
  get sharedMap(): Uint8Array | undefined {
    const map = this.#begun?.offer?.map
    return map?.trusted ? map.envelope : undefined
  }

  /** Fixes length and piece map by one offer; those that come later must agree with it. */
  async begin(offer: CheckedOffer): Promise<PartialBlob> {
    const { size, map } = offer
    // Pieces that an earlier attempt left by another map must not be held against the signer of this one.
    const hashes = map ? { pieceHashes: map.pieces.hashes } : {}
    this.#beginning ??= this.#begin({ size, cutThrough: map?.trusted ?? true, ...hashes }).then((blob) => {
      this.#begun = { offer, blob }
      this.#shareable.resolve()
      return blob
    })
    return await this.#beginning
  }

  /**
   * Fixes the length of a blob that comes into the mesh at this moment: what its pieces are is told as they come. Does
   * nothing when an offer has begun it.
   * @throws {MeshError} ORIGIN_FAILED when it began with another length
   */
  async beginEntering(size: number): Promise<PartialBlob> {
    if (this.#beginning === undefined && pieceCount(size) > 1)
      this.#ledger = new PieceLedger({ digest: this.digest, size }, this.#self)
    this.#beginning ??= this.#begin({ size, cutThrough: true, lastAfterProof: true }).then((blob) => {
      this.#begun = { blob }
      this.#shareable.resolve()
      return blob
    })
    const blob = await this.#beginning
    if (blob.size === size) return blob
    throw new MeshError('ORIGIN_FAILED', `the origin has ${size} bytes where peers have ${blob.size}`)
  }

  /** What is known of the pieces, when the blob comes into the mesh at this moment. */
  get ledger(): PieceLedger | undefined {
    return this.#ledger
  }

  /** Resolves with the pieces once it has begun; undefined when nobody has begun it. */
  get beginning(): Promise<PartialBlob> | undefined {
    return this.#beginning
  }

  /** Resolves once pieces of it can be taken from peers and given to them. */
  get shareable(): Promise<void> {
    return this.#shareable.promise
  }

  /** Whether there are as many sources of this kind as one blob needs. */
  hasEnough(scope: PeerScope): boolean {
    let count = 0
    for (const joined of this.joined.values()) if (joined === scope) count++
    return count >= (scope === 'far' ? LIMITS.farSourcesPerBlob : LIMITS.sourcesPerBlob)
  }

  supply(): Supply {
    if (this.#settled) return 'settled'
    if (!this.begun) return 'none'
    return this.joined.size < LIMITS.sourcesWithoutWalk ? 'some' : 'enough'
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

  /** Counts what an origin outside the mesh gave. */
  countOrigin(name: string, bytes: number): void {
    this.#originBytes.set(name, (this.#originBytes.get(name) ?? 0) + bytes)
  }

  /** All of it came. */
  complete(): void {
    if (this.#settled) return
    this.#settled = true
    this.#complete = true
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
      sources: [
        ...[...this.#bytesBy].map(([peerId, bytes]) => ({ peerId, bytes })),
        ...[...this.#originBytes].map(([origin, bytes]) => ({ origin, bytes }))
      ]
    }
  }
}

/** The pieces of a blob that are here already. */
export function heldPieces(blob: PartialBlob): Bitfield {
  return Bitfield.fromBytes(blob.bitfield(), blob.pieceCount) ?? new Bitfield(blob.pieceCount)
}

import type { BlobStat, ContentStore, PartialBlob, PieceHashes } from '@layermesh/content'
import { Bitfield, type Digest, pieceCount, type Repository } from '@layermesh/oci'
import { sealPieceMap, signerOf } from '@layermesh/trust'
import type { PrivateKey } from '@libp2p/interface'
import type { Growth, PieceLedger } from './piece-ledger.ts'
import type { Offer, Shelf } from './sharing.ts'

/** What is known of a blob that is arriving. */
export interface Arriving {
  /** Its signed map; undefined when nobody trusted vouches for it. */
  map(digest: Digest): Uint8Array | undefined
  /** Whether this node brings the blob into the mesh. */
  bringsIn(digest: Digest): boolean
  /** The hashes of a blob that comes into the mesh; still known for a while after it came. */
  ledger(digest: Digest): PieceLedger | undefined
  /** The pieces that are brought in from an origin or from afar at this moment. */
  fetching(digest: Digest): readonly number[]
}

/** What the content store has for peers. A blob that nobody whose word counts has signed a map for is signed by this node. */
export class ContentShelf implements Shelf {
  readonly #content: ContentStore
  readonly #privateKey: PrivateKey
  readonly #arriving: Arriving
  readonly #mayVouch: (signer: string) => boolean

  /** @param components `mayVouch`: whether pieces are used on the word of this signer now */
  constructor(components: {
    content: ContentStore
    privateKey: PrivateKey
    arriving: Arriving
    mayVouch(signer: string): boolean
  }) {
    this.#content = components.content
    this.#privateKey = components.privateKey
    this.#arriving = components.arriving
    this.#mayVouch = (signer) => components.mayVouch(signer)
  }

  async offer(digest: Digest, within: Repository | undefined): Promise<Offer | undefined> {
    if (within !== undefined && !(await this.isIn(within, digest))) return undefined
    const whole = await this.wholeToStay(digest)
    if (whole) {
      if (pieceCount(whole.size) <= 1) return { size: whole.size }
      const pieceMap = await this.pieceMap(digest, whole.size)
      // Without hashes the blob turned out not to be whole: the disk lost some of it.
      if (pieceMap) return { size: whole.size, pieceMap }
    }
    const arriving = this.#content.downloads.inFlight(digest)
    if (!arriving) return await this.shared(digest)
    // All pieces may be here already, and only the whole not kept yet.
    const growing = this.#arriving.ledger(digest)
    if (growing) return await this.growingOffer(growing, arriving)
    const pieceMap = this.#arriving.map(digest) ?? (await this.#content.pieceMaps.get(digest))
    if (!pieceMap) return undefined
    return { size: arriving.size, held: arriving.bitfield(), pieceMap, fetching: this.#arriving.fetching(digest) }
  }

  bringsIn(digest: Digest): boolean {
    return this.#arriving.bringsIn(digest)
  }

  growth(digest: Digest, told: number): Growth | undefined {
    return this.#arriving.ledger(digest)?.growth(told)
  }

  /** What is here of a blob that comes into the mesh, as far as it is vouched for; nothing is left out for long. */
  private async growingOffer(ledger: PieceLedger, blob: PartialBlob): Promise<Offer | undefined> {
    const { digest, size } = blob
    await ledger.sign()
    const growth = ledger.growth(0)
    if (!growth || ledger.size !== size) return undefined
    const held = new Bitfield(blob.pieceCount)
    for (let piece = 0; piece < growth.count; piece++) if (blob.has(piece)) held.set(piece)
    return { size, held: held.toBytes(), growth, fetching: this.#arriving.fetching(digest) }
  }

  async read(
    digest: Digest,
    range: { start: number; end: number },
    spare?: ArrayBufferLike
  ): Promise<Uint8Array | undefined> {
    const own = await this.#content.blobs.readAt(digest, range, spare instanceof ArrayBuffer ? spare : undefined)
    // What was not here left the memory alone.
    return own ?? (await this.#content.shared?.readAt(digest, range))
  }

  /** What another program on this host has. */
  private async shared(digest: Digest): Promise<Offer | undefined> {
    const { shared, pieceMaps } = this.#content
    const found = await shared?.stat(digest)
    if (!found || pieceCount(found.size) <= 1) return found && { size: found.size }
    const kept = await pieceMaps.get(digest)
    const signer = kept && signerOf(kept)
    if (kept && signer !== undefined && this.#mayVouch(signer)) return { size: found.size, pieceMap: kept }
    const pieces = await shared?.pieceHashes(digest)
    return pieces && { size: found.size, pieceMap: await this.seal(digest, found.size, pieces) }
  }

  /** The whole blob, if it is here; what was offered is asked for next, and stays for that. */
  private async wholeToStay(digest: Digest): Promise<BlobStat | undefined> {
    const { blobs, leases } = this.#content
    // Only what is here: else whoever asks for what is not could keep all leases busy.
    if (!(await blobs.stat(digest))) return undefined
    await leases.renew([digest])
    return await blobs.stat(digest)
  }

  private async isIn(repository: Repository, digest: Digest): Promise<boolean> {
    const { repositories } = this.#content
    return (
      (await repositories.hasBlob(repository, digest)) ||
      (await repositories.manifest(repository, digest)) !== undefined
    )
  }

  private async pieceMap(digest: Digest, length: number): Promise<Uint8Array | undefined> {
    const kept = await this.#content.pieceMaps.get(digest)
    const signer = kept && signerOf(kept)
    if (signer !== undefined && this.#mayVouch(signer)) return kept
    const pieces = await this.#content.blobs.pieceHashes(digest)
    if (!pieces) return kept
    return await this.seal(digest, length, pieces)
  }

  private async seal(digest: Digest, length: number, pieces: PieceHashes): Promise<Uint8Array> {
    const sealed = await sealPieceMap({ digest, length, ...pieces }, this.#privateKey)
    await this.#content.pieceMaps.put(digest, sealed)
    return sealed
  }
}

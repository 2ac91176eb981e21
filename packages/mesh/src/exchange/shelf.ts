import type { ContentStore } from '@layermesh/content'
import { type Digest, pieceCount, type Repository } from '@layermesh/oci'
import { sealPieceMap, signerOf } from '@layermesh/trust'
import type { PrivateKey } from '@libp2p/interface'
import type { Offer, Shelf } from './sharing.ts'

/** What is known of a blob that is arriving. */
export interface Arriving {
  /** Its signed map; undefined when nobody trusted vouches for it. */
  map(digest: Digest): Uint8Array | undefined
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
    const whole = await this.#content.blobs.stat(digest)
    if (whole) {
      if (pieceCount(whole.size) <= 1) return { size: whole.size }
      const pieceMap = await this.pieceMap(digest, whole.size)
      // Without hashes the blob turned out not to be whole: the disk lost some of it.
      if (pieceMap) return { size: whole.size, pieceMap }
    }
    const arriving = this.#content.downloads.inFlight(digest)
    if (!arriving) return undefined
    // All pieces may be here already, and only the whole not kept yet.
    const pieceMap = this.#arriving.map(digest) ?? (await this.#content.pieceMaps.get(digest))
    if (!pieceMap) return undefined
    return { size: arriving.size, held: arriving.bitfield(), pieceMap, fetching: this.#arriving.fetching(digest) }
  }

  read(
    digest: Digest,
    range: { start: number; end: number },
    spare?: ArrayBufferLike
  ): Promise<Uint8Array | undefined> {
    return this.#content.blobs.readAt(digest, range, spare instanceof ArrayBuffer ? spare : undefined)
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
    const sealed = await sealPieceMap({ digest, length, ...pieces }, this.#privateKey)
    await this.#content.pieceMaps.put(digest, sealed)
    return sealed
  }
}

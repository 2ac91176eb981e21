import { createHash } from 'node:crypto'
import { type Digest, pieceCount, pieceLengthFor } from '@layermesh/oci'
import { type GrowingMap, rootOfHashes, sealGrowingMap } from '@layermesh/trust'
import type { PrivateKey } from '@libp2p/interface'

const HASH_LENGTH = 32

/** A growing map as it came: its envelope is passed on. */
export interface SignedGrowth {
  readonly map: GrowingMap
  readonly signer: string
  readonly envelope: Uint8Array
}

/** What is passed on to a peer that knows the hashes of the first pieces. */
export interface Growth {
  readonly envelope: Uint8Array
  /** Of the pieces from those that it knows to those that the envelope speaks of. */
  readonly hashes: Uint8Array
  readonly count: number
}

/**
 * The hashes of the pieces of a blob that comes into the mesh, from the first on without a gap, and the newest signed
 * word on them. It only grows: whatever contradicts it is not taken in.
 */
export class PieceLedger {
  readonly digest: Digest
  readonly size: number
  readonly #hashes: Uint8Array
  readonly #self: { readonly peerId: string; readonly privateKey: PrivateKey }
  /** Over the hashes of all that is known. */
  readonly #root = createHash('sha256')
  #count = 0
  /** The first piece of those that this node brought in itself and that nobody else vouched for. */
  #ownSince: number | undefined
  #newest: SignedGrowth | undefined
  #signing: Promise<void> | undefined

  constructor(blob: { digest: Digest; size: number }, self: { peerId: string; privateKey: PrivateKey }) {
    this.digest = blob.digest
    this.size = blob.size
    this.#self = self
    this.#hashes = new Uint8Array(pieceCount(blob.size) * HASH_LENGTH)
  }

  /** The pieces before this one are known. */
  get count(): number {
    return this.#count
  }

  /** The pieces before this one are vouched for by a signature, and may be passed on. */
  get signedCount(): number {
    return this.#newest?.map.count ?? 0
  }

  /** The newest signed word. */
  get newest(): SignedGrowth | undefined {
    return this.#newest
  }

  hash(piece: number): Uint8Array | undefined {
    return piece < this.#count ? this.#hashes.subarray(piece * HASH_LENGTH, (piece + 1) * HASH_LENGTH) : undefined
  }

  /** Whether hashes of the pieces from `from` on are the same as far as both are known. */
  agrees(hashes: Uint8Array, from = 0): boolean {
    const until = Math.min(this.#count * HASH_LENGTH - from * HASH_LENGTH, hashes.byteLength)
    if (until <= 0) return true
    const known = this.#hashes.subarray(from * HASH_LENGTH, from * HASH_LENGTH + until)
    return Buffer.compare(known, hashes.subarray(0, until)) === 0
  }

  /**
   * The hash of the next piece.
   * @param own whether this node brought it in now; it may be left of an earlier attempt
   */
  append(hash: Uint8Array, own: boolean): void {
    if (own) this.#ownSince ??= this.#count
    else this.#ownSince = undefined
    this.#extend(hash)
  }

  /** All hashes, as an ordinary map has them. @returns whether they were taken in */
  adopt(hashes: Uint8Array): boolean {
    if (hashes.byteLength !== this.#hashes.byteLength || !this.agrees(hashes)) return false
    if (hashes.byteLength > this.#count * HASH_LENGTH) this.#ownSince = undefined
    this.#extend(hashes.subarray(this.#count * HASH_LENGTH))
    return true
  }

  /**
   * Takes in what a peer says, if it goes with what is known.
   * @param hashes of the last of the pieces that it speaks of
   * @returns false when it contradicts that, or leaves a gap
   */
  merge(growth: SignedGrowth, hashes: Uint8Array): boolean {
    const { digest, length, count, root } = growth.map
    const from = count - hashes.byteLength / HASH_LENGTH
    if (digest !== this.digest || length !== this.size || !Number.isInteger(from) || from < 0) return false
    if (from > this.#count || !this.agrees(hashes, from)) return false
    const before = this.#hashes.subarray(0, from * HASH_LENGTH)
    if (Buffer.compare(rootOfHashes(before, hashes), root) !== 0) return false
    if (count > this.#count) {
      this.#ownSince = undefined
      this.#extend(hashes.subarray((this.#count - from) * HASH_LENGTH))
    }
    if (count > this.signedCount || this.#newest === undefined) this.#newest = growth
    return true
  }

  /** Makes sure that all that is known is vouched for, by this node's word if nobody else's does. */
  async sign(): Promise<void> {
    while (this.#newest === undefined || this.signedCount < this.#count) {
      this.#signing ??= this.#signNow().finally(() => {
        this.#signing = undefined
      })
      await this.#signing
    }
  }

  /** What a peer lacks that knows the first `told` hashes; undefined while there is nothing that may be passed on. */
  growth(told: number): Growth | undefined {
    if (!this.#newest) return undefined
    const { envelope, map } = this.#newest
    const from = Math.min(told, map.count)
    return { envelope, count: map.count, hashes: this.#hashes.slice(from * HASH_LENGTH, map.count * HASH_LENGTH) }
  }

  async #signNow(): Promise<void> {
    const { digest, size: length } = this
    const count = this.#count
    const root = Uint8Array.from(this.#root.copy().digest())
    const map = { digest, length, pieceLength: pieceLengthFor(length), count, root, since: this.#ownSince ?? count }
    const envelope = await sealGrowingMap(map, this.#self.privateKey)
    if (count > this.signedCount || this.#newest === undefined) {
      this.#newest = { map, signer: this.#self.peerId, envelope }
    }
  }

  #extend(hashes: Uint8Array): void {
    this.#hashes.set(hashes, this.#count * HASH_LENGTH)
    this.#root.update(hashes)
    this.#count += hashes.byteLength / HASH_LENGTH
  }
}

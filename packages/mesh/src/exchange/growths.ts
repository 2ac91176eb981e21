/**
 * What peers tell of a blob that comes into the mesh: each new hash is taken in only if it goes with what is known, and
 * before any piece that it speaks of. A peer that contradicts what is known is a source no more; the download goes on
 * without it.
 */
import { MeshError } from '../errors.ts'
import type { PeerDirectory } from '../network/peer-directory.ts'
import type { GrowthMessage } from '../wire/blob-messages.ts'
import type { Channel } from './channel.ts'
import type { Download } from './download.ts'
import { type CheckedOffer, openGrowth } from './offers.ts'
import type { Pieces } from './pieces.ts'

export interface GrowthsComponents {
  readonly pieces: Pick<Pieces, 'have' | 'left'>
  readonly directory: Pick<PeerDirectory, 'sentMalformed'>
  channel(peerId: string): Channel | undefined
  /** Whether a gateway is not believed in what it brings from this registry. */
  distrusts(signer: string, registry: string): boolean
}

interface Told {
  readonly pieces: readonly number[]
  readonly growth: GrowthMessage | undefined
}

/** Messages of one peer of one blob that wait while the one before is checked. */
const MAX_WAITING = 256
const HASH_LENGTH = 32

export class Growths {
  readonly #components: GrowthsComponents
  /** By download, then by peer. */
  readonly #waiting = new WeakMap<Download, Map<string, Told[]>>()

  constructor(components: GrowthsComponents) {
    this.#components = components
  }

  /** Whether an offer goes with what is known of the blob; what it says beyond that is known from then on. */
  agrees(download: Download, offer: CheckedOffer): boolean {
    const { ledger, map } = download
    const hashes = offer.growth?.hashes ?? offer.map?.pieces.hashes
    if (!hashes || !heldAgrees(download, hashes, 0)) return false
    if (!ledger) return map === undefined || agreesSoFar(map.pieces.hashes, hashes)
    if (offer.growth) return ledger.merge(offer.growth.signed, hashes)
    if (!ledger.adopt(hashes)) return false
    void ledger.sign()
    return true
  }

  /** A peer that joined, or is about to, has more pieces. */
  have(download: Download, peerId: string, told: Told): void {
    const byPeer = this.#waiting.get(download) ?? new Map<string, Told[]>()
    this.#waiting.set(download, byPeer)
    const waiting = byPeer.get(peerId)
    if (waiting && waiting.length >= MAX_WAITING) return this.drop(download, peerId)
    if (waiting) waiting.push(told)
    else {
      byPeer.set(peerId, [told])
      if (download.joined.has(peerId)) void this.drain(download, peerId)
    }
  }

  /** The offer of a peer was taken: what it told since counts. */
  joined(download: Download, peerId: string): void {
    if (this.#waiting.get(download)?.has(peerId)) void this.drain(download, peerId)
  }

  private async drain(download: Download, peerId: string): Promise<void> {
    const byPeer = this.#waiting.get(download)
    const waiting = byPeer?.get(peerId)
    for (let told = waiting?.[0]; told && !download.settled; told = waiting?.[0]) {
      await this.take(download, peerId, told)
      waiting?.shift()
    }
    byPeer?.delete(peerId)
  }

  private async take(download: Download, peerId: string, { pieces, growth }: Told): Promise<void> {
    const { digest, ledger, request } = download
    if (!ledger) return this.#components.pieces.have(peerId, digest, pieces)
    try {
      if (growth) {
        const signed = await openGrowth(peerId, growth.envelope)
        if (request.origin && this.#components.distrusts(signed.signer, request.origin.name))
          return this.drop(download, peerId)
        const from = signed.map.count - growth.hashes.byteLength / HASH_LENGTH
        if (!heldAgrees(download, growth.hashes, from) || !ledger.merge(signed, growth.hashes))
          return this.drop(download, peerId)
      }
    } catch (error) {
      if (error instanceof MeshError) this.#components.directory.sentMalformed(peerId)
      return this.drop(download, peerId)
    }
    const known = pieces.filter((piece) => piece < ledger.count)
    this.#components.pieces.have(peerId, digest, known)
  }

  private drop({ digest, disagreeing }: Download, peerId: string): void {
    disagreeing.add(peerId)
    this.#components.channel(peerId)?.leave(digest)
    this.#components.pieces.left(peerId, digest)
  }
}

/** What is here already counts as much as what a peer says. */
function heldAgrees({ blob }: Download, hashes: Uint8Array, from: number): boolean {
  if (!blob) return true
  for (let index = 0; index * HASH_LENGTH < hashes.byteLength; index++) {
    const held = blob.pieceHash(from + index)
    const told = hashes.subarray(index * HASH_LENGTH, (index + 1) * HASH_LENGTH)
    if (held && Buffer.compare(held, told) !== 0) return false
  }
  return true
}

function agreesSoFar(one: Uint8Array, other: Uint8Array): boolean {
  const length = Math.min(one.byteLength, other.byteLength)
  return Buffer.compare(one.subarray(0, length), other.subarray(0, length)) === 0
}

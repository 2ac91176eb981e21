import { Bitfield, type Digest, pieceCount } from '@layermesh/oci'
import { openGrowingMap, openPieceMap, type PieceMap, rootOfHashes } from '@layermesh/trust'
import { MeshError } from '../errors.ts'
import type { Joined } from '../wire/blob-messages.ts'
import type { SignedGrowth } from './piece-ledger.ts'

const HASH_LENGTH = 32

/** A peer's answer to a join, checked. */
export interface CheckedOffer {
  readonly peerId: string
  readonly size: number
  readonly pieces: Bitfield
  /** Pieces that the peer brings in from an origin or from afar. */
  readonly fetching: readonly number[]
  /** In place of a map, while the blob comes into the mesh by a gateway. */
  readonly growth?: { readonly signed: SignedGrowth; readonly hashes: Uint8Array }
  /** Undefined for a blob of at most one piece, which its digest proves. */
  readonly map?: {
    readonly pieces: PieceMap
    readonly envelope: Uint8Array
    readonly signer: string
    readonly trusted: boolean
  }
}

/**
 * Reads what a peer offers of a blob.
 *
 * @param mayVouch whether pieces may be used on the word of this signer alone
 * @throws {MeshError} PEER_MISBEHAVED when the offer contradicts itself
 */
export async function checkOffer(
  digest: Digest,
  peerId: string,
  answer: Joined,
  mayVouch: (signer: string) => boolean
): Promise<CheckedOffer> {
  const refuse = (what: string, cause?: unknown) => new MeshError('PEER_MISBEHAVED', what, { peerId, cause })
  const { size, fetching = [] } = answer
  const pieces = offeredPieces(answer)
  if (!pieces) throw refuse('the offered pieces do not fit the length')
  if (pieceCount(size) <= 1) return { peerId, size, pieces, fetching }
  if (answer.growth) {
    const signed = await openGrowth(peerId, answer.growth.envelope)
    const { hashes } = answer.growth
    const { count, root, length } = signed.map
    const whole = hashes.byteLength === count * HASH_LENGTH && Buffer.compare(rootOfHashes(hashes), root) === 0
    if (!whole || length !== size || signed.map.digest !== digest) throw refuse('the growing map is for other pieces')
    for (let piece = count; piece < pieces.length; piece++) pieces.clear(piece)
    return { peerId, size, pieces, fetching, growth: { signed, hashes } }
  }
  if (!answer.pieceMap) throw refuse('an offer without piece map')
  const { map, signer } = await openPieceMap(answer.pieceMap).catch((cause) => {
    throw refuse('the piece map is not valid', cause)
  })
  if (map.digest !== digest || map.length !== size) throw refuse('the piece map is for another blob')
  const checked = { pieces: map, envelope: answer.pieceMap, signer, trusted: mayVouch(signer) }
  return { peerId, size, pieces, fetching, map: checked }
}

/** Reads a growing map. @throws {MeshError} PEER_MISBEHAVED */
export async function openGrowth(peerId: string, envelope: Uint8Array): Promise<SignedGrowth> {
  try {
    return { ...(await openGrowingMap(envelope)), envelope }
  } catch (cause) {
    throw new MeshError('PEER_MISBEHAVED', 'the growing map is not valid', { peerId, cause })
  }
}

/** The pieces that a peer offers; undefined when its bits don't fit the length. */
function offeredPieces({ size, held }: Joined): Bitfield | undefined {
  const count = pieceCount(size)
  return held === undefined ? Bitfield.full(count) : Bitfield.fromBytes(held, count)
}

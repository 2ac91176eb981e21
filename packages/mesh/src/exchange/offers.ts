import { Bitfield, type Digest, pieceCount } from '@layermesh/oci'
import { openPieceMap, type PieceMap } from '@layermesh/trust'
import { MeshError } from '../errors.ts'
import type { Joined } from '../wire/blob-messages.ts'

/** A peer's answer to a join, checked. */
export interface CheckedOffer {
  readonly peerId: string
  readonly size: number
  readonly pieces: Bitfield
  /** Pieces that the peer brings in from an origin or from afar. */
  readonly fetching: readonly number[]
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
  if (!answer.pieceMap) throw refuse('an offer without piece map')
  const { map, signer } = await openPieceMap(answer.pieceMap).catch((cause) => {
    throw refuse('the piece map is not valid', cause)
  })
  if (map.digest !== digest || map.length !== size) throw refuse('the piece map is for another blob')
  const checked = { pieces: map, envelope: answer.pieceMap, signer, trusted: mayVouch(signer) }
  return { peerId, size, pieces, fetching, map: checked }
}

/** The pieces that a peer offers; undefined when its bits don't fit the length. */
function offeredPieces({ size, held }: Joined): Bitfield | undefined {
  const count = pieceCount(size)
  return held === undefined ? Bitfield.full(count) : Bitfield.fromBytes(held, count)
}

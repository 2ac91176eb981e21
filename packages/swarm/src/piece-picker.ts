/**
 * Which piece to ask of a source. From a member: what readers come to next, else the rarest. From an origin or from
 * afar: only what no member has and none brings in, each piece by the member that rendezvous hashing names, so that one
 * copy crosses; a member with nothing else to do takes over pieces of others that nobody has begun.
 */
import type { BlobState } from './blob-state.ts'
import type { SwarmOptions } from './options.ts'
import { scoreOf } from './rendezvous.ts'
import type { Source } from './source.ts'

type PickOptions = Pick<SwarmOptions, 'takeOverAfterMs' | 'settleMs' | 'insistAfterMs'>

/** Members take an abandoned piece over one after the other, so that the first has told of it before the next tries. */
const TAKE_OVER_STEP_MS = 300

/** The piece that is best asked of this source now; undefined when there is none. */
export function pickPiece(now: number, blob: BlobState, source: Source, options: PickOptions): number | undefined {
  if (source.useful === 0) return undefined
  return source.kind === 'member' ? pickFromMember(now, blob, source) : pickToBringIn(now, blob, source, options)
}

function pickFromMember(now: number, blob: BlobState, source: Source): number | undefined {
  for (const piece of blob.readers.next(blob.held.length)) if (mayAsk(now, blob, source, piece)) return piece
  return rarest(now, blob, source)
}

/** Of the pieces that the fewest members have, another one at each node, so that they spread evenly. */
function rarest(now: number, blob: BlobState, source: Source): number | undefined {
  let best: number | undefined
  let bestCopies = Number.POSITIVE_INFINITY
  for (let piece = blob.firstMissing; piece < blob.held.length; piece++) {
    const copies = blob.copies[piece] ?? 0
    if (copies > bestCopies || !mayAsk(now, blob, source, piece)) continue
    if (best !== undefined && copies === bestCopies && blob.score(piece) < blob.score(best)) continue
    best = piece
    bestCopies = copies
  }
  return best
}

function mayAsk(now: number, blob: BlobState, source: Source, piece: number): boolean {
  return source.pieces.has(piece) && blob.isOpen(piece) && !blob.isGiven(piece, source, now)
}

/** In the order of the blob, beginning where readers are, since what is brought in is what all members come to next. */
function pickToBringIn(now: number, blob: BlobState, source: Source, options: PickOptions): number | undefined {
  let best: number | undefined
  let bestRank = Number.POSITIVE_INFINITY
  for (const piece of inReadingOrder(blob)) {
    if (!mayAsk(now, blob, source, piece)) continue
    const rank = rankToBringIn(now, blob, source, piece, options)
    if (rank === 0) return piece
    if (rank === undefined || rank >= bestRank) continue
    best = piece
    bestRank = rank
  }
  return best
}

/** 0 for a piece that is this node's to bring in, more for one that is others' first; undefined when it must not. */
function rankToBringIn(
  now: number,
  blob: BlobState,
  source: Source,
  piece: number,
  { takeOverAfterMs, settleMs, insistAfterMs }: PickOptions
): number | undefined {
  // Whatever others promise: nobody keeps a node from a piece for good.
  if (blob.requests.size === 0 && now - blob.payloadAt >= insistAfterMs) return 0
  if (blob.gateway) return (source.kind === 'far' ? blob.near : blob.copies)[piece] === 0 ? 0 : undefined
  if (source.kind === 'far' && !isFarGiver(now, blob, source, piece, takeOverAfterMs)) return undefined
  const nearer = source.kind === 'far' ? blob.near : blob.copies
  if (nearer[piece] !== 0) return undefined
  const rank = blob.rank(piece)
  const brought = blob.brought.get(piece)
  if (brought) return now - brought.at >= takeOverAfterMs + rank * TAKE_OVER_STEP_MS ? 0 : undefined
  return rank > 0 && now - blob.wantedAt < settleMs ? undefined : rank
}

/**
 * Whoever gives to another zone remembers what it gave, so a piece crosses once if all of the zone ask it of the same one:
 * of those that have all of the blob, the one that rendezvous hashing names. Others are asked only by a node that has no
 * such source, and has waited for members in vain or has none.
 */
function isFarGiver(now: number, blob: BlobState, source: Source, piece: number, takeOverAfterMs: number): boolean {
  let wholes = 0
  let members = 0
  for (const other of blob.sources.values()) {
    if (other.brings) members++
    if (other.kind !== 'far' || !other.whole) continue
    wholes++
    if (other !== source && (!source.whole || scoreOf(other.key, piece) > scoreOf(source.key, piece))) return false
  }
  return wholes > 0 || members === 0 || now - blob.lastProgressAt >= takeOverAfterMs
}

function* inReadingOrder(blob: BlobState): Generator<number> {
  yield* blob.readers.next(blob.held.length)
  for (let piece = blob.firstMissing; piece < blob.held.length; piece++) yield piece
}

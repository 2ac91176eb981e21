import type { BlobState, PieceRequest } from './blob-state.ts'
import type { SwarmOptions } from './options.ts'
import type { PeerState } from './peer-state.ts'
import type { Source } from './source.ts'

type HedgeOptions = Pick<
  SwarmOptions,
  'hedgeFactor' | 'hedgeAfterMs' | 'maxHedges' | 'maxAheadBytesPerPeer' | 'firstAheadBytes' | 'aheadMs'
>

/**
 * A piece that the one asked for it brings late, and another peer that would bring it much sooner. Pieces are asked
 * twice only at the end of a blob, when nothing else is left to ask, or when a reader waits for them; never from afar,
 * where each byte is dear.
 */
export function findHedge(
  now: number,
  blob: BlobState,
  peers: ReadonlyMap<string, PeerState>,
  options: HedgeOptions
): { source: Source; piece: number } | undefined {
  const awaited = new Set(blob.readers.places.map(({ piece }) => piece))
  if (blob.openCount > 0 && awaited.size === 0) return undefined
  let hedges = 0
  for (const requests of blob.requests.values()) if (requests.length > 1) hedges++
  if (hedges >= options.maxHedges) return undefined
  for (const [piece, [request, second]] of blob.requests) {
    if (!request || second || (blob.openCount > 0 && !awaited.has(piece))) continue
    const needsMs = lateBy(now, request, peers.get(request.peer), options)
    if (needsMs === undefined) continue
    const source = quickerSource(now, blob, piece, request.peer, needsMs / options.hedgeFactor, peers, options)
    if (source) return { source, piece }
  }
  return undefined
}

/** How long the asked peer still needs, or is silent already; undefined when the piece is not late. */
function lateBy(
  now: number,
  { at }: PieceRequest,
  peer: PeerState | undefined,
  { hedgeAfterMs }: HedgeOptions
): number | undefined {
  if (now - at < hedgeAfterMs) return undefined
  const needsMs = Math.max(peer?.needsMs(0) ?? now - at, now - (peer?.payloadAt ?? at))
  return needsMs >= hedgeAfterMs ? needsMs : undefined
}

function quickerSource(
  now: number,
  blob: BlobState,
  piece: number,
  except: string,
  withinMs: number,
  peers: ReadonlyMap<string, PeerState>,
  options: HedgeOptions
): Source | undefined {
  for (const source of blob.sources.values()) {
    if (source.kind === 'far' || source.peer === except || !source.pieces.has(piece)) continue
    if (source.kind === 'origin' && blob.isGiven(piece, source, now)) continue
    const peer = peers.get(source.peer)
    if (peer && !peer.hasRoom(now, options)) continue
    const needsMs = peer?.needsMs(blob.bytesOf(piece)) ?? 0
    if (needsMs <= withinMs) return source
  }
  return undefined
}

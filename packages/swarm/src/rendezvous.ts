/**
 * Rendezvous hashing (Thaler and Ravishankar, 1998): each of several members gets a score for a piece, the highest is
 * responsible. All who know the same members agree without a word, and a member that leaves changes only its own pieces.
 */

/** A 32-bit key for a member of the swarm of one blob. */
export function memberKey(peer: string, digest: string): number {
  let hash = 0x811c9dc5
  for (const text of [peer, digest]) {
    for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  }
  return mix(hash)
}

/** Peers in the order in which they are responsible for a blob as a whole. */
export function rankForBlob(peers: Iterable<string>, digest: string): string[] {
  const scored = [...peers].map((peer) => ({ peer, score: scoreOf(memberKey(peer, digest), 0) }))
  return scored.sort((a, b) => b.score - a.score || (a.peer < b.peer ? -1 : 1)).map(({ peer }) => peer)
}

/** The score of a member for a piece, 32 bits. */
export function scoreOf(key: number, piece: number): number {
  return mix(key ^ Math.imul(piece + 1, 0x9e3779b1))
}

/** Spreads a change of any bit over all 32. */
function mix(value: number): number {
  let hash = value
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

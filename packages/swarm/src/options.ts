/** The bounds and deadlines of the swarm. */
export interface SwarmOptions {
  /** Bytes asked of one peer and not here yet; fills the link to it (bandwidth × delay). */
  readonly maxOutstandingBytesPerPeer: number
  /** Bytes asked of all peers and not here yet; bounds the memory of pieces in the making. */
  readonly maxOutstandingBytes: number
  /** How many pieces ahead of a waiting reader come before all others. */
  readonly readAheadPieces: number
  /** A peer that owes pieces and sends nothing for so long is given up. */
  readonly silentAfterMs: number
  /** Time without a piece or a new source after which a blob is given up. */
  readonly giveUpAfterMs: number
  /** Pause between two searches for the same blob. */
  readonly searchPauseMs: number
  /** Pause before a peer that said `busy` is asked again. */
  readonly busyPauseMs: number
  /** How long a peer that sent wrong bytes or broke the protocol is shut out. */
  readonly misbehavedBanMs: number
  /** How long a peer that fell silent is shut out. */
  readonly silentBanMs: number
}

export const SWARM_DEFAULTS: SwarmOptions = Object.freeze({
  maxOutstandingBytesPerPeer: 4 * 1024 * 1024,
  maxOutstandingBytes: 16 * 1024 * 1024,
  readAheadPieces: 16,
  silentAfterMs: 5_000,
  giveUpAfterMs: 20_000,
  searchPauseMs: 1_000,
  busyPauseMs: 200,
  misbehavedBanMs: 60 * 60_000,
  silentBanMs: 30_000
})

const KIB = 1024
const MIB = 1024 * KIB

/** The bounds and deadlines of the asking side. */
export interface SwarmOptions {
  /** Bytes asked of all peers and not wholly here; bounds the memory of pieces in the making. @default 25165824 (24 MiB) */
  readonly maxOwedBytes: number
  /** Bytes asked of one peer and still to come, at most. @default 6291456 (6 MiB) */
  readonly maxAheadBytesPerPeer: number
  /** Bytes asked of a peer whose rate is not known yet. @default 2097152 (2 MiB) */
  readonly firstAheadBytes: number
  /**
   * For how long a peer has something to send if it goes on as fast as it does: what is asked ahead is its rate × this.
   * Long enough to fill the link (bandwidth × delay), short enough that a piece is not late for those who wait for it.
   * @default 100
   */
  readonly aheadMs: number
  /** How many pieces ahead of a reader come before all others. @default 8 */
  readonly readAheadPieces: number
  /** Readers of one blob whose places are remembered. @default 32 */
  readonly maxReaders: number
  /** A reader that asked for nothing for so long is forgotten. @default 10000 */
  readonly readerIdleMs: number
  /** How often a node tells what it is bringing in, while it comes. @default 1000 */
  readonly tellFetchingEveryMs: number
  /** A piece that a member brings in may be taken over when nothing was heard of it for so long. @default 3000 */
  readonly takeOverAfterMs: number
  /** A node that got nothing for so long takes a piece where it can, whoever else has it or brings it in. @default 10000 */
  readonly insistAfterMs: number
  /** A node waits so long for others to turn up before it brings in pieces that would be theirs. @default 1000 */
  readonly settleMs: number
  /** A piece that an origin has given to another member is not asked there again for so long. @default 5000 */
  readonly givenPauseMs: number
  /** A piece is asked of a second peer when the first needs so many times longer. @default 3 */
  readonly hedgeFactor: number
  /** A piece is asked of a second peer only if the first needs longer than this. @default 1000 */
  readonly hedgeAfterMs: number
  /** Pieces of one blob that are asked of two peers at one time. @default 4 */
  readonly maxHedges: number
  /** A peer that owes pieces and sends nothing for so long is given up. @default 5000 */
  readonly silentAfterMs: number
  /** Time without progress or a new source after which a blob is given up. @default 20000 */
  readonly giveUpAfterMs: number
  /** More peers are looked for when nothing could be asked for so long. @default 1500 */
  readonly stuckAfterMs: number
  /** Pause between the first two searches for the same blob; doubles with each one that changed nothing. @default 1000 */
  readonly searchPauseMs: number
  /** @default 16000 */
  readonly maxSearchPauseMs: number
  /** Pause before a peer that said `busy` is asked again. @default 200 */
  readonly busyPauseMs: number
  /** How long a peer that sent wrong bytes or broke the protocol is shut out. @default 3600000 (1 h) */
  readonly misbehavedBanMs: number
  /** How long a peer that fell silent is shut out. @default 30000 */
  readonly silentBanMs: number
  /** Payload taken in from all peers, and from far ones. @default Infinity */
  readonly bytesPerSecond: number
  readonly farBytesPerSecond: number
}

export const SWARM_DEFAULTS: SwarmOptions = Object.freeze({
  maxOwedBytes: 24 * MIB,
  maxAheadBytesPerPeer: 6 * MIB,
  firstAheadBytes: 2 * MIB,
  aheadMs: 100,
  readAheadPieces: 8,
  maxReaders: 32,
  readerIdleMs: 10_000,
  tellFetchingEveryMs: 1_000,
  takeOverAfterMs: 3_000,
  insistAfterMs: 10_000,
  settleMs: 1_000,
  givenPauseMs: 5_000,
  hedgeFactor: 3,
  hedgeAfterMs: 1_000,
  maxHedges: 4,
  silentAfterMs: 5_000,
  giveUpAfterMs: 20_000,
  stuckAfterMs: 1_500,
  searchPauseMs: 1_000,
  maxSearchPauseMs: 16_000,
  busyPauseMs: 200,
  misbehavedBanMs: 60 * 60_000,
  silentBanMs: 30_000,
  bytesPerSecond: Number.POSITIVE_INFINITY,
  farBytesPerSecond: Number.POSITIVE_INFINITY
})

/** The bounds and deadlines of the giving side. */
export interface UploadOptions {
  /** Pieces that are being sent at one time, over all peers. @default 8 */
  readonly slots: number
  /** Pieces that are being sent to one peer at one time: one on the wire, the next being read. @default 2 */
  readonly slotsPerPeer: number
  /** A piece of which nothing was taken for so long no longer keeps others from its slot. @default 500 */
  readonly stalledAfterMs: number
  /** Pieces that may be stalled at one time beside those in slots. @default 56 */
  readonly maxStalled: number
  /** Requests of one peer that may wait; more are refused as busy. @default 64 */
  readonly maxWaitingPerPeer: number
  /** An origin gives a piece to one member of a zone, and to no other for so long after it was sent. @default 5000 */
  readonly givenForMs: number
  /** A piece that was promised to a member which takes nothing for so long is given to another one. @default 2500 */
  readonly promiseStallMs: number
  /** Of a piece that comes into the mesh here one peer of the zone hears first, the others so long after. @default 300 */
  readonly tellOthersAfterMs: number
  /** Blobs whose given pieces are remembered. @default 256 */
  readonly maxGivenBlobs: number
  /** Payload given to all peers, and to far ones. @default Infinity */
  readonly bytesPerSecond: number
  readonly farBytesPerSecond: number
}

export const UPLOAD_DEFAULTS: UploadOptions = Object.freeze({
  slots: 8,
  slotsPerPeer: 2,
  stalledAfterMs: 500,
  maxStalled: 56,
  maxWaitingPerPeer: 64,
  givenForMs: 5_000,
  promiseStallMs: 2_500,
  tellOthersAfterMs: 300,
  maxGivenBlobs: 256,
  bytesPerSecond: Number.POSITIVE_INFINITY,
  farBytesPerSecond: Number.POSITIVE_INFINITY
})

const KIB = 1024
const MIB = 1024 * KIB

/** Names of our protocols; the major version is part of the name. PROTOCOL.md describes the bytes. */
export const PROTOCOL = Object.freeze({
  hello: '/layermesh/hello/1.0.0',
  tag: '/layermesh/tag/1.0.0',
  blob: '/layermesh/blob/1.0.0',
  notice: '/layermesh/notice/1.0.0',
  prefetch: '/layermesh/prefetch/1.0.0',
  lease: '/layermesh/lease/1.0.0',
  dht: '/layermesh/kad/1.0.0'
})

/** Every bound and deadline of the mesh in one table. Sizes in bytes, times in milliseconds. */
export const LIMITS = Object.freeze({
  /** Encryption and proof of membership of a new connection; also dialling one takes no longer. */
  handshakeDeadlineMs: 10_000,
  /** Handshakes of others that begin: of all addresses together so many at once, then so many per second. */
  handshakeBurst: 1_000,
  handshakesPerSecond: 400,
  /** Handshakes of one IP address that begin in a second: hundreds of nodes may stand behind one. */
  handshakesPerAddressPerSecond: 200,
  /** Handshakes of others that are under way, altogether and of one IP address. */
  pendingHandshakes: 512,
  pendingHandshakesPerAddress: 256,
  /** Connections with one peer: two that dial each other at the same moment have two. */
  connectionsPerPeer: 4,
  /** Cluster secrets that count at one time. */
  secrets: 4,
  /** What each side shows of itself behind the handshake: proofs and a ticket. */
  credentialsBytes: 1_024,
  /** When a secret counts no more, connections that were let in by it end within so long, not all at once. */
  lapseSpreadMs: 10_000,

  /** One message of the hello and tag protocols. */
  rpcMessageBytes: 1 * MIB,
  rpcDeadlineMs: 2_000,
  /** A push makes the seed fetch what it lacks; the pusher waits so long. */
  pushDeadlineMs: 30 * 60_000,
  /** A seed that makes a token may have to hash a password or to ask an identity provider. */
  authenticateDeadlineMs: 10_000,
  /** Tokens that one peer may ask for: so many at once, then so many per second. */
  authenticateBurst: 32,
  authenticatePerSecond: 8,
  /** Signed documents that all nodes hold; one of them may be so long, and is waited for so long. */
  noticeBytes: 1_000_000,
  noticeDeadlineMs: 10_000,
  /** Notices told of in one message, and known of one peer that are still to be fetched. */
  noticesPerMessage: 256,
  /** Whoever waits for another peer to send the same notice asks a second one after so long. */
  noticeHedgeMs: 1_000,
  /** A peer is told of changes at once, and of those that follow after so long. */
  noticeTellEveryMs: 50,
  /** Some peer is asked for what it has so often, in case a change was missed. */
  noticeRefreshMs: 60_000,
  /**
   * Messages of one peer: so many at once, then so many per second. More are not answered, and whoever sends twice as
   * many is shut out for a while. A seed that signs all its tags anew tells of a few hundred in a second.
   */
  helloBurst: 20,
  helloPerSecond: 2,
  tagBurst: 3_000,
  tagPerSecond: 300,
  noticeBurst: 500,
  noticePerSecond: 50,
  prefetchBurst: 64,
  prefetchPerSecond: 4,
  floodBanMs: 60_000,
  /** Whoever has a node fetch an image hears of it at most and at least so often, and waits so long for a word. */
  prefetchReportEveryMs: 500,
  prefetchHeartbeatMs: 5_000,
  prefetchSilenceMs: 20_000,
  /** No image is fetched for another node longer than this. */
  prefetchDeadlineMs: 24 * 60 * 60_000,
  /** Connecting to a node that is to fetch, with the search for where it is. */
  prefetchDialDeadlineMs: 10_000,
  /** Peers told of in one answer to `members`, and addresses of each. */
  membersPerAnswer: 1_024,
  addressesPerMember: 2,
  /** All members are looked for: so many are asked at one time, so long, until so many are known. */
  memberWalkConcurrency: 16,
  memberWalkDeadlineMs: 30_000,
  membersFound: 10_000,
  /** Streams that one peer may have open here on one connection, of all protocols together and of each of ours. */
  inboundStreamsPerConnection: 256,
  inboundStreamsPerPeer: 32,

  /** A control frame of the blob protocol; the largest is JOINED with a piece map of 4096 entries. */
  controlFrameBytes: 256 * KIB,
  /** Payload of one DATA frame. */
  dataFrameBytes: 256 * KIB,
  /** Memory of pieces that is kept for the next ones instead of being freed. */
  pooledBufferBytes: 8 * MIB,
  /** Peers of its zone that a node takes one blob from: a random graph of about this degree serves thousands. */
  sourcesPerBlob: 16,
  /** Peers of other zones that it takes one blob from. */
  farSourcesPerBlob: 4,
  /** Peers that take one blob from a node that has all of it; others are sent to these. */
  joinsPerWholeBlob: 64,
  /** A peer that owes a blob of one piece and sends nothing for so long is given up; however much it sends, it has this. */
  smallBlobSilenceMs: 3_000,
  smallBlobDeadlineMs: 30_000,
  /** Blobs that one peer may have joined on one stream. */
  joinsPerStream: 256,
  /** A peer that takes no byte for so long is cut off. */
  sendStallMs: 15_000,
  /** Peers told of in one answer. */
  peersPerAnswer: 10,
  joinDeadlineMs: 2_000,
  channelOpenDeadlineMs: 3_000,

  /** Peers that are known to hold a blob have so long before others are asked too. */
  searchHeadStartMs: 100,
  /** The DHT is asked for more peers only when a blob has been coming for so long, from fewer than so many. */
  walkDelayMs: 1_000,
  sourcesWithoutWalk: 4,
  /** Connected peers that are asked for a blob besides those that are known to hold it. */
  peersAskedBlindly: 8,
  /** Providers taken from one search of the DHT. */
  providersPerSearch: 8,
  /** A blob is announced so long after it was wanted, unless so many others offer it by then. */
  announceAfterMs: 2_000,
  enoughProviders: 10,
  announceQueue: 4_096,
  announceDeadlineMs: 10_000,
  knownHolders: 8_192,
  /** Claims to have a blob that a node keeps in the DHT: of one peer, of all, and how long the key of one is. */
  providerRecordsPerPeer: 262_144,
  providerRecords: 2_097_152,
  providerKeyLength: 256,
  /** Peers whose addresses are remembered. */
  knownPeers: 16_384,
  holdersPerBlob: 16,

  /** A message of the lease protocol, and those of one peer: so many at once, then so many per second. */
  leaseMessageBytes: 8 * KIB,
  leaseBurst: 4_000,
  leasePerSecond: 200,
  /** One stream carries all that a peer asks; another may be about to end. */
  leaseStreamsPerPeer: 4,
  /** Leases that one message renews, and how often a holder renews. */
  leasesPerRenewal: 64,
  leaseRenewMs: 1_000,
  /** An arbiter that does not answer for so long is passed over, and not asked again for so long. */
  leaseAnswerMs: 5_000,
  arbiterPauseMs: 10_000,
  /** Who gets nothing from those who bring a blob in says so after so long. */
  leaseStallMs: 5_000,
  /** The same while the length is not known yet, and when they only say that they bring it. */
  leaseBeginStallMs: 8_000,
  leasePayloadStallMs: 30_000,
  /** A blob whose length nobody knows after so long can not be had. */
  originBeginDeadlineMs: 20_000,

  /** The origin of a blob is asked when no peer gave it so soon; other peers are looked for meanwhile. */
  originHeadStartMs: 300,
  /** How long an origin may take to answer, and then be silent. */
  originOpenDeadlineMs: 15_000,
  originStallMs: 15_000,
  /** What turned out wrong is not taken on the word of members for so long. */
  doubtMs: 60_000,
  /** A gateway that brought in a wrong blob which came right later is not believed in what comes from there so long. */
  distrustMs: 10 * 60_000,
  /** Pieces that peers offer are taken from the origin when nothing came for so long. */
  originInsistMs: 3_000,

  /** How long a peer that breaks the protocol is shut out. */
  malformedBanMs: 60 * 60_000,
  /** How long a peer that does not answer is shut out. */
  silentBanMs: 30_000,

  maxMultiaddrsPerPeer: 8,
  maxMultiaddrLength: 256
})

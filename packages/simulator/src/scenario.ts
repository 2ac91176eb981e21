import type { SwarmOptions, UploadOptions } from '@layermesh/swarm'

/**
 * Whom a node names to one who asks. `balanced`: of the same zone those who were named least, among some looked at by
 * chance, so that everybody has about as many neighbours and the graph is as good as a random regular one; of other
 * zones the same few to all who ask from one zone, so that these agree on whom to ask what. `latest`: those who asked
 * last, wherever they are.
 */
export type Naming = 'balanced' | 'latest'

/** What the world is like. Rates in bytes per second, sizes in bytes, times in milliseconds of virtual time. */
export interface Scenario {
  /** The same seed gives the same world and the same run. */
  readonly seed: number
  /** Nodes that want the image, over all zones. */
  readonly nodes: number
  /** Nodes that have it from the beginning; all in the first zone. */
  readonly origins: number
  readonly zones: number
  /** The image is cut into so many blobs of the same size, and each node wants all of them at once. */
  readonly blobs: number
  /** The whole image. */
  readonly imageBytes: number
  /** Length of the pieces; 0 for what nodes choose by themselves. */
  readonly pieceBytes: number

  readonly uplinkBytesPerSecond: number
  readonly downlinkBytesPerSecond: number
  readonly originUplinkBytesPerSecond: number
  /** The origins have nothing at first: each gets the image from outside at this rate, in order. 0: they have it all. */
  readonly enterBytesPerSecond: number
  /** Each direction between two zones; 0 for no bound. */
  readonly farLinkBytesPerSecond: number
  /** One way, between nodes of a zone. */
  readonly nearLatencyMs: number
  /** One way, between zones. */
  readonly farLatencyMs: number
  /** Share of the nodes whose links have only {@link slowFactor} of the rate. */
  readonly slowShare: number
  readonly slowFactor: number

  /** Each node begins at a random time within this span. */
  readonly arrivalSpanMs: number
  /** The last zone begins so much later than the others. */
  readonly lateZoneMs: number

  /** In each blob that is read, so many readers begin at the same time, each in its own range. */
  readonly rangesPerBlob: number
  /** How many of the blobs are read, from the first one on. */
  readonly readBlobs: number
  /** What one reader takes in; 0 for as fast as it comes. */
  readonly readerBytesPerSecond: number

  /** Share of the nodes that fail, once each, at a random time within {@link faultSpanMs}. */
  readonly crashShare: number
  /** A node that crashed is back after so long, with the pieces it had; 0 for never. */
  readonly crashReturnMs: number
  /** Share of the nodes that stand still from a random time on: their connections stay, and nothing moves. */
  readonly freezeShare: number
  /** How long they stand still; 0 for ever. */
  readonly freezeMs: number
  readonly faultSpanMs: number
  /** Share of the nodes that say they have everything, and send wrong bytes. */
  readonly liarShare: number

  /** Whom nodes name to each other. */
  readonly naming: Naming
  /** Peers near that a node shares a blob with, on average. */
  readonly neighbours: number
  /** Peers of other zones that it asks besides. */
  readonly farNeighbours: number
  /** Peers of each zone that one who has all of a blob takes on for it; it gives the others names of peers. */
  readonly joinsPerWholeBlob: number

  /** From the last byte of a piece to its being kept. */
  readonly verifyMs: number
  readonly haveEveryMs: number
  readonly progressEveryMs: number
  readonly tickMs: number
  /** A peer that takes no byte for so long is cut off. */
  readonly sendStallMs: number
  /** How long a node waits for the answer to a join. */
  readonly joinDeadlineMs: number

  /** The step in which the bytes flow; 0 for a quarter of the time that a piece takes at the fastest link, 10 ms at most. */
  readonly stepMs: number
  /** The run ends when nothing has come anywhere for so long. */
  readonly stuckAfterMs: number
  readonly endAfterMs: number

  readonly swarm: Partial<SwarmOptions>
  readonly uploads: Partial<UploadOptions>
}

const MIB = 1024 * 1024
const GBIT_BYTES = 125_000_000

export const SCENARIO_DEFAULTS: Scenario = Object.freeze({
  seed: 1,
  nodes: 100,
  origins: 1,
  zones: 1,
  blobs: 1,
  imageBytes: 1024 * MIB,
  pieceBytes: 0,
  uplinkBytesPerSecond: GBIT_BYTES,
  downlinkBytesPerSecond: GBIT_BYTES,
  originUplinkBytesPerSecond: GBIT_BYTES,
  enterBytesPerSecond: 0,
  farLinkBytesPerSecond: 0,
  nearLatencyMs: 0.25,
  farLatencyMs: 20,
  slowShare: 0,
  slowFactor: 0.1,
  arrivalSpanMs: 0,
  lateZoneMs: 0,
  rangesPerBlob: 1,
  readBlobs: 1,
  readerBytesPerSecond: 0,
  crashShare: 0,
  crashReturnMs: 0,
  freezeShare: 0,
  freezeMs: 0,
  faultSpanMs: 10_000,
  liarShare: 0,
  naming: 'balanced',
  neighbours: 10,
  farNeighbours: 2,
  joinsPerWholeBlob: 64,
  verifyMs: 1,
  haveEveryMs: 50,
  progressEveryMs: 100,
  tickMs: 100,
  sendStallMs: 15_000,
  joinDeadlineMs: 2_000,
  stepMs: 0,
  stuckAfterMs: 120_000,
  endAfterMs: 24 * 3_600_000,
  swarm: {},
  uploads: {}
})

/** Worlds with a name: what they change of the defaults. */
export const PRESETS: Readonly<Record<string, { readonly about: string; readonly changes: Partial<Scenario> }>> =
  Object.freeze({
    flash: { about: 'all nodes of one zone begin at the same moment', changes: {} },
    cold: {
      about: 'the image comes to the origin, a gateway, at the rate of a link while all want it',
      changes: { enterBytesPerSecond: GBIT_BYTES }
    },
    staggered: { about: 'nodes begin over ten seconds', changes: { arrivalSpanMs: 10_000 } },
    zones: {
      about: 'two zones with a thin link between them',
      changes: { zones: 2, farLinkBytesPerSecond: GBIT_BYTES / 2 }
    },
    'late-zone': {
      about: 'two zones, of which the second begins ten seconds later',
      changes: { zones: 2, farLinkBytesPerSecond: GBIT_BYTES / 2, lateZoneMs: 10_000 }
    },
    churn: {
      about: 'a fifth of the nodes crash on the way and come back two seconds later',
      changes: { crashShare: 0.2, crashReturnMs: 2_000 }
    },
    frozen: { about: 'a tenth of the nodes stand still for ever', changes: { freezeShare: 0.1 } },
    liars: { about: 'a tenth of the nodes offer everything and send wrong bytes', changes: { liarShare: 0.1 } },
    slow: { about: 'a fifth of the nodes have a tenth of the rate', changes: { slowShare: 0.2 } },
    image: { about: 'eight blobs at once, of which three are read', changes: { blobs: 8, readBlobs: 3 } },
    ranges: { about: 'four readers of each blob, each in its own range', changes: { rangesPerBlob: 4 } }
  })

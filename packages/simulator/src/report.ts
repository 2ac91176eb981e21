import { type PhysicalLimit, physicalLimit } from './limit.ts'
import { jainIndex, quantile } from './statistics.ts'
import type { VirtualNode } from './virtual-node.ts'
import type { Sample, World } from './world.ts'

/** Times of many nodes, in ms from each one's arrival. */
export interface Spread {
  readonly median: number | undefined
  readonly p95: number | undefined
  readonly max: number | undefined
}

/**
 * The three parts of a run by how much all nodes together take in, against what they can: until it first reaches nine
 * tenths of its best, from when it last did, and between these.
 */
export interface Phases {
  readonly rampMs: number
  readonly steadyMs: number
  readonly tailMs: number
  /** Bytes that moved, as a share of what all uplinks could carry meanwhile. */
  readonly rampUse: number
  readonly steadyUse: number
  readonly tailUse: number
}

/** What came of a run. Multiples are of the image. */
export interface Report {
  readonly nodes: number
  readonly expectedNodes: number
  readonly unfinishedNodes: number
  readonly imageBytes: number
  /** From the beginning to when the last node had the image. */
  readonly makespanMs: number
  readonly limit: PhysicalLimit
  readonly ofLimit: number
  readonly completion: Spread
  readonly firstByte: Spread
  readonly originBytes: number
  readonly originMultiple: number
  readonly peerBytes: number
  /** Each link between zones, by `from>to`, as a multiple. */
  readonly farMultiples: Readonly<Record<string, number>>
  /** Bytes that nobody kept: wrong, twice, or cut off. */
  readonly wastedBytes: number
  readonly wastedShare: number
  /** Jain's index of what honest nodes gave, each counted against its uplink. */
  readonly fairness: number
  readonly phases: Phases
  /** Times that a node gave a blob up; its client asked again. */
  readonly giveUps: number
  readonly bannedLiars: number
  /** Bans of nodes that did nothing wrong but be late, crash or stand still. */
  readonly bannedOthers: number
  readonly samples: readonly Sample[]
}

export function report(world: World): Report {
  const { nodes, origins, expected, imageBytes, links } = world
  const finished = expected.filter((node) => node.finished)
  const makespanMs = Math.max(0, ...finished.map(finishedAt))
  const limit = limitOf(world)
  const originBytes = sum(origins.map((origin) => links.uploadedBy(origin)))
  const moved = links.network.movedBytes
  const wastedBytes = Math.max(0, moved - sum(nodes.filter(({ origin }) => !origin).map((node) => node.heldBytes)))
  const givers = expected.map((node) => links.uploadedBy(node) / (world.residents[node.index]?.upBytesPerSecond ?? 1))
  const banned = bans(nodes)
  return {
    nodes: nodes.length - origins.length,
    expectedNodes: expected.length,
    unfinishedNodes: world.unfinished.length,
    imageBytes,
    makespanMs,
    limit,
    ofLimit: makespanMs / limit.ms,
    completion: spread(finished.map((node) => finishedAt(node) - arrivedAt(node))),
    firstByte: spread(expected.flatMap((node) => firstByteAfter(node) ?? [])),
    originBytes,
    originMultiple: originBytes / imageBytes,
    peerBytes: moved - originBytes,
    farMultiples: Object.fromEntries([...links.farBytes()].map(([name, bytes]) => [name, bytes / imageBytes])),
    wastedBytes,
    wastedShare: moved === 0 ? 0 : wastedBytes / moved,
    fairness: jainIndex(givers),
    phases: phases(world),
    giveUps: sum(nodes.flatMap(({ shares }) => [...shares.values()].map(({ gaveUp }) => gaveUp))),
    bannedLiars: [...banned].filter((node) => node.lies).length,
    bannedOthers: [...banned].filter((node) => !node.lies).length,
    samples: world.samples
  }
}

function limitOf(world: World): PhysicalLimit {
  const expected = world.expected.flatMap(({ index }) => world.residents[index] ?? [])
  return physicalLimit(world.scenario, world.imageBytes, world.residents, expected)
}

function phases({ samples, residents }: World): Phases {
  const capacity = sum(residents.map(({ upBytesPerSecond }) => upBytesPerSecond)) / 1000
  const intervals = samples.map((sample, index) => {
    const before = samples[index - 1] ?? { atMs: 0, movedBytes: 0 }
    const ms = sample.atMs - before.atMs
    const bytes = sample.movedBytes - before.movedBytes
    return { ms, bytes, rate: ms === 0 ? 0 : bytes / ms }
  })
  const plenty = 0.9 * Math.max(0, ...intervals.map(({ rate }) => rate))
  const first = intervals.findIndex(({ rate }) => rate >= plenty)
  const last = intervals.findLastIndex(({ rate }) => rate >= plenty)
  const part = (from: number, to: number) => {
    const some = intervals.slice(from, to)
    const ms = sum(some.map((interval) => interval.ms))
    return { ms, use: ms === 0 ? 0 : sum(some.map(({ bytes }) => bytes)) / (capacity * ms) }
  }
  const [ramp, steady, tail] = [part(0, first), part(Math.max(0, first), last + 1), part(last + 1, intervals.length)]
  return {
    rampMs: ramp.ms,
    steadyMs: steady.ms,
    tailMs: tail.ms,
    rampUse: ramp.use,
    steadyUse: steady.use,
    tailUse: tail.use
  }
}

function bans(nodes: readonly VirtualNode[]): Set<VirtualNode> {
  const banned = new Set(nodes.flatMap((node) => [...node.bans.keys()]))
  return new Set(nodes.filter((node) => banned.has(node)))
}

function finishedAt({ shares }: VirtualNode): number {
  return Math.max(...[...shares.values()].map(({ finishedAt: at }) => at ?? 0))
}

function arrivedAt({ shares }: VirtualNode): number {
  return Math.min(...[...shares.values()].map(({ wantedAt }) => wantedAt ?? 0))
}

function firstByteAfter(node: VirtualNode): number | undefined {
  const [first] = [...node.shares.values()].flatMap(({ firstByteAt }) => firstByteAt ?? [])
  return first === undefined ? undefined : first - arrivedAt(node)
}

function spread(times: readonly number[]): Spread {
  return { median: quantile(times, 0.5), p95: quantile(times, 0.95), max: quantile(times, 1) }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

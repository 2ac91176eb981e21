import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { report } from './report.ts'
import { SCENARIO_DEFAULTS, type Scenario } from './scenario.ts'
import { Invariants } from './testing/invariants.ts'
import { World } from './world.ts'

const KIB = 1024
const PIECE = 256 * KIB
const MBIT = 125_000

/** A small world: pieces of 256 KiB and links of 100 Mbit/s, so that a run takes some milliseconds. */
function run(changes: Partial<Scenario>) {
  const scenario: Scenario = {
    ...SCENARIO_DEFAULTS,
    nodes: 8,
    pieceBytes: PIECE,
    imageBytes: 32 * PIECE,
    uplinkBytesPerSecond: 100 * MBIT,
    downlinkBytesPerSecond: 100 * MBIT,
    originUplinkBytesPerSecond: 100 * MBIT,
    faultSpanMs: 1_000,
    ...changes
  }
  const invariants = new Invariants(scenario)
  const world = new World(scenario, invariants)
  world.run()
  return { world, result: report(world), broken: invariants.broken, cheated: invariants.cheated }
}

const calm = fc.record({
  seed: fc.nat(),
  nodes: fc.integer({ min: 1, max: 24 }),
  blobs: fc.integer({ min: 1, max: 3 }),
  imageBytes: fc.integer({ min: 6, max: 48 }).map((pieces) => pieces * PIECE),
  zones: fc.integer({ min: 1, max: 3 }),
  farLinkBytesPerSecond: fc.constantFrom(0, 20 * MBIT, 50 * MBIT),
  farLatencyMs: fc.constantFrom(1, 20, 100),
  arrivalSpanMs: fc.constantFrom(0, 500, 3_000),
  slowShare: fc.constantFrom(0, 0, 0.3),
  readBlobs: fc.integer({ min: 0, max: 3 }),
  rangesPerBlob: fc.integer({ min: 1, max: 4 }),
  readerBytesPerSecond: fc.constantFrom(0, 20 * MBIT)
})

describe('a world without faults', () => {
  test('every node finishes, no limit is exceeded, nobody is banned or given up', () => {
    fc.assert(
      fc.property(calm, (changes) => {
        const { result, broken } = run(changes)
        expect(broken).toEqual([])
        expect(result).toMatchObject({ unfinishedNodes: 0, giveUps: 0, bannedOthers: 0 })
      }),
      { numRuns: 40 }
    )
  })

  test('is the same again with the same seed, and another one with another', () => {
    const changes = { nodes: 20, crashShare: 0.2, crashReturnMs: 500, liarShare: 0.1, arrivalSpanMs: 300 }
    const results = [7, 7, 8].map((seed) => run({ ...changes, seed }).result)
    expect(results[1]).toEqual(results[0])
    expect(results[2]).not.toEqual(results[0])
  })

  test('one node alone gets a blob at the rate of the link', () => {
    const { result } = run({ nodes: 1, imageBytes: 256 * PIECE })
    expect(result.ofLimit).toBeLessThan(1.1)
  })
})

describe('a world that nobody has the image in', () => {
  const cold = { enterBytesPerSecond: 100 * MBIT, pieceBytes: 4 * PIECE, imageBytes: 256 * PIECE }

  test.each([1, 2, 3])('all have it soon after it came in, and the gateway gives it once (seed %i)', (seed) => {
    const { result, broken } = run({ ...cold, seed, nodes: 7 })
    expect(broken).toEqual([])
    expect(result).toMatchObject({ unfinishedNodes: 0, giveUps: 0, bannedOthers: 0 })
    expect(result.ofLimit).toBeLessThan(1.25)
    expect(result.originMultiple).toBeLessThan(1.05)
    expect(result.fairness).toBeGreaterThan(0.95)
  })

  test('a gateway that is quicker than its links keeps nobody waiting', () => {
    const { result } = run({ ...cold, nodes: 7, enterBytesPerSecond: 1_000 * MBIT })
    expect(result.ofLimit).toBeLessThan(1.25)
  })

  test('one that stands still does not keep the others from the pieces that it heard of first', () => {
    const { result } = run({ ...cold, nodes: 8, freezeShare: 0.25, seed: 4 })
    expect(result.unfinishedNodes).toBe(0)
    expect(result.ofLimit).toBeLessThan(1.5)
  })
})

describe('a world with faults', () => {
  const faulty = fc.record({
    seed: fc.nat(),
    nodes: fc.integer({ min: 4, max: 24 }),
    zones: fc.integer({ min: 1, max: 2 }),
    crashShare: fc.constantFrom(0, 0.25, 0.5),
    crashReturnMs: fc.constantFrom(0, 200, 3_000),
    freezeShare: fc.constantFrom(0, 0.25),
    freezeMs: fc.constantFrom(0, 1_000, 8_000),
    liarShare: fc.constantFrom(0, 0.25),
    arrivalSpanMs: fc.constantFrom(0, 1_000)
  })

  test('every honest node that stays or comes back finishes, and no wrong piece is kept', () => {
    fc.assert(
      fc.property(faulty, (changes) => {
        const { result, broken } = run(changes)
        expect(broken).toEqual([])
        expect(result.unfinishedNodes).toBe(0)
      }),
      { numRuns: 40 }
    )
  })

  test('nothing that a node began before it crashed is gone on with after it came back', () => {
    const changes = { seed: 434814602, nodes: 20, zones: 2, crashShare: 0.25, crashReturnMs: 200, liarShare: 0.25 }
    expect(run({ ...changes, arrivalSpanMs: 1_000 }).broken).toEqual([])
  })

  test('whoever sends a wrong piece is banned', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const { world, cheated } = run({ seed, nodes: 12, liarShare: 0.25 })
        expect(cheated.length).toBeGreaterThan(0)
        for (const { node, by } of cheated) {
          const bans = world.nodes[node.index]?.bans ?? new Map()
          expect([...bans.keys()].map(({ id }) => id)).toContain(by)
        }
      }),
      { numRuns: 20 }
    )
  })
})

describe('zones', () => {
  test('the link between them carries about one copy', () => {
    const shape = fc.record({
      seed: fc.nat(),
      nodes: fc.integer({ min: 4, max: 24 }),
      zones: fc.integer({ min: 2, max: 3 })
    })
    fc.assert(
      fc.property(shape, (changes) => {
        const { result } = run({ ...changes, imageBytes: 64 * PIECE, farLinkBytesPerSecond: 50 * MBIT })
        const into = Object.entries(result.farMultiples).filter(([link]) => link.startsWith('0>'))
        for (const [, multiple] of into) expect(multiple).toBeLessThanOrEqual(1.2)
      }),
      { numRuns: 20 }
    )
  })

  test('one that begins late is not starved', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const { result } = run({ seed, nodes: 16, zones: 2, farLinkBytesPerSecond: 50 * MBIT, lateZoneMs: 1_000 })
        expect(result.unfinishedNodes).toBe(0)
        expect(result.makespanMs).toBeLessThan(3 * result.limit.ms)
      }),
      { numRuns: 10 }
    )
  })
})

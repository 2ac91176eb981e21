import { expect, test } from 'vitest'
import { physicalLimit } from './limit.ts'
import { makeBlobs, populate } from './population.ts'
import { Random } from './random.ts'
import { SCENARIO_DEFAULTS, type Scenario } from './scenario.ts'

const MB = 1_000_000

function limitOf(changes: Partial<Scenario>) {
  const scenario = {
    ...SCENARIO_DEFAULTS,
    nodes: 10,
    imageBytes: 100 * MB,
    uplinkBytesPerSecond: 10 * MB,
    downlinkBytesPerSecond: 10 * MB,
    originUplinkBytesPerSecond: 10 * MB,
    ...changes
  }
  const residents = populate(scenario, new Random(1))
  const size = makeBlobs(scenario).reduce((sum, blob) => sum + blob.size, 0)
  const expected = residents.filter(({ origin }) => !origin)
  return physicalLimit(scenario, size, residents, expected)
}

test('is bound by the origin, the slowest node, all uplinks, a late node, or a thin link', () => {
  expect(limitOf({ originUplinkBytesPerSecond: 5 * MB })).toEqual({ ms: 20_000, boundBy: 'uplink of the origins' })
  expect(limitOf({ slowShare: 0.1, slowFactor: 0.25 })).toEqual({ ms: 40_000, boundBy: 'downlink of a node' })
  expect(limitOf({ uplinkBytesPerSecond: 1.5 * MB })).toEqual({ ms: 40_000, boundBy: 'uplinks of all nodes' })
  expect(limitOf({ zones: 2, lateZoneMs: 3_000 })).toEqual({ ms: 13_000, boundBy: 'downlink of a node' })
  expect(limitOf({ zones: 2, farLinkBytesPerSecond: 2 * MB, lateZoneMs: 3_000 })).toEqual({
    ms: 53_000,
    boundBy: 'link into a zone'
  })
})

test('lets two origins share the work', () => {
  expect(limitOf({ origins: 2, originUplinkBytesPerSecond: 2 * MB }).ms).toBe(25_000)
})

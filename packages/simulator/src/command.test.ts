import { expect, test } from 'vitest'
import { type Orders, simulateCommand } from './command.ts'
import { SCENARIO_DEFAULTS } from './scenario.ts'

function read(...args: string[]): Orders {
  const read: Orders[] = []
  simulateCommand((orders) => read.push(orders))
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
    .parse(args, { from: 'user' })
  const [orders] = read
  if (!orders) throw new Error('not run')
  return orders
}

test('reads sizes, rates, times and shares', () => {
  const { scenario } = read('--size', '1.5GiB', '--far-link', '50Mbit', '--far-latency', '0.1s', '--crash', '20%')
  expect(scenario).toMatchObject({
    imageBytes: 1.5 * 2 ** 30,
    farLinkBytesPerSecond: 6_250_000,
    farLatencyMs: 100,
    crashShare: 0.2
  })
})

test('sets all links by one flag, and one by its own', () => {
  expect(read('--link', '80Mbit', '--uplink', '8Mbit').scenario).toMatchObject({
    uplinkBytesPerSecond: 1_000_000,
    downlinkBytesPerSecond: 10_000_000,
    originUplinkBytesPerSecond: 10_000_000
  })
})

test('begins with a named world, and lets flags change it', () => {
  const { scenario } = read('--scenario', 'churn', '--crash', '0.5')
  expect(scenario).toMatchObject({ crashShare: 0.5, crashReturnMs: 2_000, nodes: SCENARIO_DEFAULTS.nodes })
})

test('passes options on to both sides of the swarm', () => {
  const { scenario } = read('--swarm', 'aheadMs=200', 'maxHedges=1', '--uploads', 'slots=4')
  expect([scenario.swarm, scenario.uploads]).toEqual([{ aheadMs: 200, maxHedges: 1 }, { slots: 4 }])
})

test.each([
  ['--size', 'much'],
  ['--crash', '120%'],
  ['--nodes', '1.5'],
  ['--scenario', 'none']
])('refuses %s %s', (...args) => {
  expect(() => read(...args)).toThrow()
})

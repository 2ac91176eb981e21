import { expect, test } from 'vitest'
import { readCommandLine, UsageError } from './options.ts'

test('reads what was chosen and leaves the rest to the benchmark', () => {
  expect(
    readCommandLine(['fan-out', '--runs', '5', '--size', '64MiB', '--link', '1gbit', '--json', 'out.json'])
  ).toEqual({
    name: 'fan-out',
    chosen: { runs: 5, sizeBytes: 67_108_864, linkBitsPerSecond: 1e9 },
    jsonFile: 'out.json'
  })
  expect(readCommandLine(['fan-out', '--no-registry']).chosen).toEqual({ registry: false })
})

test.each([
  [[]],
  [['fan-out', 'push']],
  [['fan-out', '--runs', '0']],
  [['fan-out', '--size', 'much']],
  [['fan-out', '--link', '100MiB']],
  [['fan-out', '--colour', 'blue']]
])('refuses %j', (args) => {
  expect(() => readCommandLine(args)).toThrow(UsageError)
})

import { expect, test } from 'vitest'
import { formatRate, formatSeconds, formatShare, formatSize, parseRate, parseSize } from './units.ts'

test.each([
  ['1B', 1],
  ['64KiB', 65_536],
  ['256 MiB', 268_435_456],
  ['1.5GiB', 1_610_612_736],
  ['1GB', undefined],
  ['GiB', undefined],
  ['-1GiB', undefined],
  ['1constructor', undefined]
])('reads the size %s', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes)
})

test.each([
  ['100mbit', 100_000_000],
  ['1gbit', 1_000_000_000],
  ['50', undefined],
  ['50MiB', undefined]
])('reads the rate %s', (text, bitsPerSecond) => {
  expect(parseRate(text)).toBe(bitsPerSecond)
})

test('writes quantities with three digits that count', () => {
  expect([0, 512, 268_435_456, 1_610_612_736].map(formatSize)).toEqual(['0 B', '512 B', '256 MiB', '1.5 GiB'])
  expect(formatRate(95_734_000)).toBe('95.7 Mbit/s')
  expect([0.0123, 0.9996, 21.474].map(formatSeconds)).toEqual(['12.3 ms', '1000 ms', '21.47 s'])
  expect(formatShare(0.12345)).toBe('12.3 %')
})

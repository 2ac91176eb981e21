import { expect, it } from 'vitest'
import { parseDuration, parseSize } from './units.ts'

it('reads durations in milliseconds', () => {
  expect(parseDuration('800ms')).toBe(800)
  expect(parseDuration('10s')).toBe(10_000)
  expect(parseDuration('1.5h')).toBe(5_400_000)
  expect(parseDuration('30d')).toBe(2_592_000_000)
  expect(parseDuration('0s')).toBe(0)
})

it('reads binary and decimal sizes in bytes', () => {
  expect(parseSize('64MiB')).toBe(67_108_864)
  expect(parseSize('500 MB')).toBe(500_000_000)
  expect(parseSize('0B')).toBe(0)
})

it('knows no bare numbers, other units, signs or absurd amounts', () => {
  for (const text of ['', '10', 's', '10 weeks', '-1s', '1e3s', '10S', '10 constructor', ' 1s']) {
    expect(parseDuration(text), text).toBeUndefined()
  }
  for (const text of ['64', '64mib', '64M', '999999999999TiB']) expect(parseSize(text), text).toBeUndefined()
})

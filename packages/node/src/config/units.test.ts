import { expect, it } from 'vitest'
import { parseDuration, parseRate, parseSize } from './units.ts'

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

it('reads rates in bytes per second', () => {
  expect(parseRate('50MiB/s')).toBe(52_428_800)
  expect(parseRate('400Mbit/s')).toBe(50_000_000)
  for (const text of ['50MiB', '50MiB/m', '400Mbit', '/s']) expect(parseRate(text), text).toBeUndefined()
})

it('knows no bare numbers, other units, signs or absurd amounts', () => {
  for (const text of ['', '10', 's', '10 weeks', '-1s', '1e3s', '10S', '10 constructor', ' 1s']) {
    expect(parseDuration(text), text).toBeUndefined()
  }
  for (const text of ['64', '64mib', '64M', '999999999999TiB']) expect(parseSize(text), text).toBeUndefined()
})

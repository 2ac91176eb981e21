import { expect, test } from 'vitest'
import { median, percentile } from './statistics.ts'

test('the median is the one in the middle, whatever the order', () => {
  expect(median([9, 1, 5])).toBe(5)
  expect(median([4, 1, 2, 3])).toBe(2.5)
  expect(median([7])).toBe(7)
})

test('a percentile lies between two values in proportion', () => {
  expect(percentile([0, 10, 20, 30, 40], 0.9)).toBe(36)
  expect(percentile([3, 1, 2], 1)).toBe(3)
})

test('there is no median of nothing', () => {
  expect(() => median([])).toThrow(RangeError)
})

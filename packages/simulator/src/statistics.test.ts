import { expect, test } from 'vitest'
import { jainIndex, quantile } from './statistics.ts'

test('finds quantiles', () => {
  const values = [5, 1, 4, 2, 3]
  expect([quantile(values, 0), quantile(values, 0.5), quantile(values, 0.95), quantile([], 0.5)]).toEqual([
    1,
    3,
    5,
    undefined
  ])
})

test('measures fairness from one over n to one', () => {
  expect(jainIndex([3, 3, 3])).toBe(1)
  expect(jainIndex([9, 0, 0])).toBeCloseTo(1 / 3)
  expect(jainIndex([0, 0])).toBe(1)
})

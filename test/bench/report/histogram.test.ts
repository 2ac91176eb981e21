import { expect, test } from 'vitest'
import { parseMetrics } from '../../support/metrics.ts'
import { histogramOf, quantile } from './histogram.ts'

const TEXT = `
wait_seconds_bucket{le="0.1"} 4
wait_seconds_bucket{le="0.2"} 8
wait_seconds_bucket{le="+Inf"} 9
wait_seconds_sum 1.5
wait_seconds_count 9
`
const { POSITIVE_INFINITY } = Number

test('counts of buckets do not hold those before, and those of two nodes add up', () => {
  const samples = [...parseMetrics(TEXT), ...parseMetrics(TEXT)]
  expect(histogramOf(samples, 'wait_seconds')).toEqual([
    { limit: 0.1, count: 8 },
    { limit: 0.2, count: 8 },
    { limit: POSITIVE_INFINITY, count: 2 }
  ])
})

test('a quantile lies in its bucket in proportion', () => {
  const buckets = histogramOf(parseMetrics(TEXT), 'wait_seconds')
  expect(quantile(buckets, 2 / 9)).toBeCloseTo(0.05)
  expect(quantile(buckets, 6 / 9)).toBeCloseTo(0.15)
  expect(quantile(buckets, 1)).toBe(POSITIVE_INFINITY)
  expect(quantile([{ limit: 1, count: 0 }], 0.5)).toBeNaN()
})

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { backOffMs } from './back-off.ts'

const OPTIONS = { baseMs: 1_000, capMs: 300_000, maxRetryAfterMs: 3_600_000 }
const ALMOST_ONE = 1 - Number.EPSILON

it('doubles the most that is waited with each failure, up to the cap', () => {
  const most = [1, 2, 3, 9, 10, 1_000].map((failures) => backOffMs(failures, undefined, () => ALMOST_ONE, OPTIONS))
  expect(most).toEqual([1_000, 2_000, 4_000, 256_000, 300_000, 300_000])
})

it('spreads over all of that time', () => {
  expect(backOffMs(5, undefined, () => 0, OPTIONS)).toBe(0)
  expect(backOffMs(5, undefined, () => 0.5, OPTIONS)).toBe(8_000)
})

it('waits no less than the receiver asks for, within bounds', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 100 }),
      fc.nat(10_000_000),
      fc.double({ min: 0, max: ALMOST_ONE, noNaN: true }),
      (n, asked, random) => {
        const ms = backOffMs(n, asked, () => random, OPTIONS)
        expect(ms).toBeGreaterThanOrEqual(Math.min(asked, OPTIONS.maxRetryAfterMs))
        expect(ms).toBeLessThanOrEqual(OPTIONS.maxRetryAfterMs + OPTIONS.capMs)
      }
    )
  )
})

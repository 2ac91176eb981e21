import { expect, test } from 'vitest'
import { Random } from './random.ts'

const numbers = (seed: number) =>
  Array.from(
    { length: 1_000 },
    (
      (random) => () =>
        random.next()
    )(new Random(seed))
  )

test('gives the same numbers for the same seed, and others for another', () => {
  expect(numbers(7)).toEqual(numbers(7))
  expect(numbers(7)).not.toEqual(numbers(8))
})

test('spreads numbers evenly', () => {
  const tenths = new Array<number>(10).fill(0)
  for (const number of numbers(3)) tenths[Math.floor(number * 10)] = (tenths[Math.floor(number * 10)] ?? 0) + 1
  expect(Math.min(...tenths)).toBeGreaterThan(60)
  expect(Math.max(...tenths)).toBeLessThan(140)
})

test('samples different ones, all when there are no more', () => {
  const random = new Random(1)
  const all = Array.from({ length: 50 }, (_, index) => index)
  for (const count of [1, 5, 20, 49]) expect(new Set(random.sample(all, count)).size).toBe(count)
  expect(random.sample(all, 80).sort((one, other) => one - other)).toEqual(all)
})

import { expect, test } from 'vitest'
import { figureRow, GOALS, reached } from './goals.ts'

test('a goal is reached at its very limit', () => {
  expect(reached(GOALS.fanOut, 1.15).ok).toBe(true)
  expect(reached(GOALS.fanOut, 1.16).ok).toBe(false)
  expect(reached(GOALS.oneToOne, 0.85).ok).toBe(true)
  expect(reached(GOALS.oneToOne, 0.84).ok).toBe(false)
})

test('a row says what was to be reached and what was', () => {
  expect(figureRow(reached(GOALS.memory, 300)).slice(2)).toEqual(['≤ 256 MiB', '300.0 MiB', 'not reached'])
  expect(figureRow(reached(GOALS.localHit, 1.234)).slice(2)).toEqual(['≥ 1 ×', '1.23 ×', 'ok'])
})

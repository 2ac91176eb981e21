import { expect, it } from 'vitest'
import { parseRetryAfter } from './retry-after.ts'

const NOW = Date.parse('2026-01-01T00:00:00Z')

it.each([
  ['120', 120_000],
  ['0', 0],
  ['Thu, 01 Jan 2026 00:01:00 GMT', 60_000],
  ['Wed, 31 Dec 2025 00:00:00 GMT', 0]
])('reads Retry-After: %s', (header, ms) => {
  expect(parseRetryAfter(header, NOW)).toBe(ms)
})

it.each([undefined, '', 'soon', '-1', '1e9', '99999999999', '2026-01-01', `Thu, ${' '.repeat(41)} GMT`])(
  'reads nothing from %j',
  (header) => {
    expect(parseRetryAfter(header, NOW)).toBeUndefined()
  }
)

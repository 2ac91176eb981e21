import { expect, it } from 'vitest'
import { AnswerHeaders } from '../http/answer.ts'
import { readRateLimit, readRetryAfter } from './rate-limit.ts'

it('reads what Docker Hub tells of its limit', () => {
  const headers = { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '76;w=21600' }
  expect(readRateLimit(new AnswerHeaders(headers))).toEqual({ limit: 100, remaining: 76 })
  expect(readRateLimit(new AnswerHeaders({ 'ratelimit-remaining': '0' }))).toEqual({ limit: undefined, remaining: 0 })
})

it.each([{}, { 'ratelimit-limit': '100' }, { 'ratelimit-remaining': 'many' }, { 'ratelimit-remaining': '-1' }])(
  'reads nothing from %j',
  (headers) => {
    expect(readRateLimit(new AnswerHeaders(headers))).toBeUndefined()
  }
)

it('reads Retry-After in seconds and as a date', () => {
  const now = Date.parse('2026-01-01T00:00:00Z')
  const read = (field: string) => readRetryAfter(new AnswerHeaders({ 'retry-after': field }), now)
  expect(read('120')).toBe(120_000)
  expect(read('Thu, 01 Jan 2026 00:01:00 GMT')).toBe(60_000)
  expect(read('Wed, 31 Dec 2025 00:00:00 GMT')).toBe(0)
  for (const field of ['', 'soon', '-1', '1e9', '99999999999']) expect(read(field)).toBeUndefined()
})

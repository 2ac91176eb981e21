import { expect, it } from 'vitest'
import { AnswerHeaders } from '../http/answer.ts'
import { readRateLimit } from './rate-limit.ts'

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

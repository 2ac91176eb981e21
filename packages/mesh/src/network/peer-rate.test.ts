import { expect, it } from 'vitest'
import { PeerRate } from './peer-rate.ts'

it('lets each peer have its burst and then no more than its rate', () => {
  let now = 0
  const rate = new PeerRate({ perSecond: 2, burst: 3 }, () => now)
  const allowed = (peer: string) => Array.from({ length: 5 }, () => rate.allows(peer)).filter(Boolean).length
  expect([allowed('a'), allowed('b')]).toEqual([3, 3])
  now = 1_000
  expect([allowed('a'), allowed('a')]).toEqual([2, 0])
  now = 3_600_000
  expect(allowed('a')).toBe(3)
})

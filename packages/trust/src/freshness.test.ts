import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { acceptance, DEFAULT_FRESHNESS, judgeTag } from './freshness.ts'

const NOW = 1_800_000_000_000
const HOUR = 3_600_000
const policy = { maxAgeMs: 10_000, maxStaleMs: 24 * HOUR, clockSkewMs: 60_000 }
const record = { issuedAt: NOW - 48 * HOUR, expiresAt: NOW + 48 * HOUR }
const judge = (age: number, authorityAnswered: boolean, overrides: Partial<typeof record> = {}) =>
  judgeTag({ record: { ...record, ...overrides }, now: NOW, confirmedAt: NOW - age, authorityAnswered, policy })

describe('how fresh a tag is', () => {
  it.each([
    [0, true, 'fresh'],
    [10_000, true, 'fresh'],
    [10_001, true, 'too-old'],
    [0, false, 'fresh'],
    [10_000, false, 'fresh'],
    [10_001, false, 'stale-but-allowed'],
    [24 * HOUR, false, 'stale-but-allowed'],
    [24 * HOUR + 1, false, 'too-old']
  ])('%i ms after its confirmation, with the authority answering %s, it is %s', (age, answered, freshness) => {
    expect(judge(age, answered)).toBe(freshness)
  })

  it('is expired at its expiry, whoever confirmed it', () => {
    expect(judge(0, true, { expiresAt: NOW })).toBe('expired')
    expect(judge(0, false, { expiresAt: NOW })).toBe('expired')
    expect(judge(0, false, { expiresAt: NOW + 1 })).toBe('fresh')
  })

  it('counts its signing as a confirmation', () => {
    expect(judge(HOUR, true, { issuedAt: NOW - 5000 })).toBe('fresh')
  })

  it('may be confirmed by a clock that is a little ahead', () => {
    expect(judge(-60_000, true)).toBe('fresh')
  })

  it('is not confirmed by a time in the future', () => {
    expect(judge(-60_001, true)).toBe('too-old')
    expect(judge(-60_001, false, { issuedAt: NOW - HOUR })).toBe('stale-but-allowed')
    expect(judge(-60_001, false, { issuedAt: NOW + 60_001 })).toBe('too-old')
    expect(judge(Number.NaN, false)).toBe('too-old')
  })

  it('never becomes better with time', () => {
    const rank = { fresh: 0, 'stale-but-allowed': 1, 'too-old': 2, expired: 3 }
    const age = fc.nat(100 * HOUR)
    fc.assert(
      fc.property(age, age, fc.boolean(), fc.nat(100 * HOUR), (first, more, authorityAnswered, life) => {
        const evidence = { record: { issuedAt: 0, expiresAt: life }, confirmedAt: 0, authorityAnswered, policy }
        const before = rank[judgeTag({ ...evidence, now: first })]
        expect(rank[judgeTag({ ...evidence, now: first + more })]).toBeGreaterThanOrEqual(before)
      })
    )
  })

  it('has defaults of ten seconds and a day', () => {
    expect(DEFAULT_FRESHNESS).toEqual(policy)
    expect(Object.isFrozen(DEFAULT_FRESHNESS)).toBe(true)
  })
})

describe('a record that comes in', () => {
  const envelope = Buffer.from('five')
  const known = { sequence: 5, envelope, signer: 'seed' }
  const incoming = (sequence: number, times = record, bytes = envelope, signer = 'seed') => ({
    record: { sequence, ...times },
    envelope: bytes,
    signer
  })
  const expired = { issuedAt: 1, expiresAt: NOW }

  it('is newer than none', () => {
    expect(acceptance(undefined, incoming(1), NOW)).toBe('newer')
  })

  it('is newer with a higher sequence', () => {
    expect(acceptance(known, incoming(6), NOW)).toBe('newer')
  })

  it('is a rollback with a lower sequence, expired or not', () => {
    expect(acceptance(known, incoming(4), NOW)).toBe('rollback')
    expect(acceptance(known, incoming(4, expired), NOW)).toBe('rollback')
  })

  it('is the same with the same bytes', () => {
    expect(acceptance(known, incoming(5, record, Buffer.from('five')), NOW)).toBe('same')
  })

  it('is a conflict with other bytes under the same sequence', () => {
    expect(acceptance(known, incoming(5, record, Buffer.from('fife')), NOW)).toBe('conflict')
  })

  it('of another signer under the same sequence counts when its bytes sort higher, whichever came first', () => {
    const other = { sequence: 5, envelope: Buffer.from('fives'), signer: 'other' }
    expect(acceptance(known, incoming(5, record, other.envelope, 'other'), NOW)).toBe('newer')
    expect(acceptance(other, incoming(5), NOW)).toBe('outranked')
    expect(acceptance(other, incoming(5, expired), NOW)).toBe('outranked')
    expect(acceptance(known, incoming(5, expired, other.envelope, 'other'), NOW)).toBe('expired')
  })

  it('is expired from its expiry on', () => {
    expect(acceptance(known, incoming(6, expired), NOW)).toBe('expired')
    expect(acceptance(undefined, incoming(6, expired), NOW - 1)).toBe('newer')
  })

  it('is from the future when it was issued later than clocks may differ', () => {
    const ahead = (ms: number) => incoming(6, { issuedAt: NOW + ms, expiresAt: NOW + HOUR })
    expect(acceptance(known, ahead(60_000), NOW)).toBe('newer')
    expect(acceptance(known, ahead(60_001), NOW)).toBe('from-the-future')
    expect(acceptance(known, ahead(1), NOW, 0)).toBe('from-the-future')
  })
})

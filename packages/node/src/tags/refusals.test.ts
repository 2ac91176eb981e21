import { TrustError } from '@layermesh/trust'
import { expect, it } from 'vitest'
import { Refusals, reasonOf } from './refusals.ts'

it('counts each refused record, and logs one of each sender and reason in ten minutes', () => {
  let now = 0
  const counted: string[] = []
  const logged: object[] = []
  const refusals = new Refusals({
    count: (reason) => counted.push(reason),
    log: { warn: (fields) => logged.push(fields), error: (fields) => logged.push(fields) },
    now: () => now
  })
  for (let i = 0; i < 1_000; i++) refusals.refused({ reason: 'rollback', from: 'a' })
  refusals.refused({ reason: 'expired', from: 'a' })
  refusals.refused({ reason: 'rollback', from: 'b' })
  expect(counted).toHaveLength(1_002)
  expect(logged).toEqual([
    { reason: 'rollback', from: 'a' },
    { reason: 'expired', from: 'a' },
    { reason: 'rollback', from: 'b' }
  ])
  now += 10 * 60_000
  refusals.refused({ reason: 'rollback', from: 'a' })
  expect(logged.at(-1)).toEqual({ reason: 'rollback', from: 'a', moreBefore: 999 })
})

it('tells a bad signature, a stranger and garbage apart', () => {
  expect(reasonOf(new TrustError('SIGNATURE_INVALID', ''))).toBe('signature_invalid')
  expect(reasonOf(new TrustError('SIGNER_NOT_TRUSTED', ''))).toBe('signer_not_trusted')
  expect(reasonOf(new TrustError('RECORD_MALFORMED', ''))).toBe('record_malformed')
})

import { expect, it } from 'vitest'
import { isTrustError, TrustError } from './errors.ts'

it('is known by its code and keeps its cause', () => {
  const cause = new Error('why')
  const error = new TrustError('KEY_EXPOSED', 'x', { cause })
  expect(isTrustError(error)).toBe(true)
  expect(isTrustError(error, 'KEY_EXPOSED')).toBe(true)
  expect(isTrustError(error, 'KEY_UNREADABLE')).toBe(false)
  expect(isTrustError(cause)).toBe(false)
  expect(error.cause).toBe(cause)
})

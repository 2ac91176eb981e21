import { expect, it } from 'vitest'
import { ERROR_STATUS, type ErrorCode, errorBody, isOciError, OciError } from './errors.ts'

it('answers each code with a status that says failure', () => {
  for (const code of Object.keys(ERROR_STATUS) as ErrorCode[]) {
    const { status } = new OciError(code, 'x')
    expect(status).toBe(ERROR_STATUS[code])
    expect(status).toBeGreaterThanOrEqual(400)
  }
})

it('lays the body out as the distribution-spec does', () => {
  expect(JSON.parse(errorBody(new OciError('BLOB_UNKNOWN', 'no such blob')))).toEqual({
    errors: [{ code: 'BLOB_UNKNOWN', message: 'no such blob' }]
  })
  expect(JSON.parse(errorBody(new OciError('DENIED', 'no', { detail: { a: 1 } })))).toEqual({
    errors: [{ code: 'DENIED', message: 'no', detail: { a: 1 } }]
  })
})

it('keeps the cause', () => {
  const cause = new Error('disk')
  expect(new OciError('UNKNOWN', 'x', { cause }).cause).toBe(cause)
})

it('is known by name and code', () => {
  const error = new OciError('DENIED', 'no')
  expect(isOciError(error)).toBe(true)
  expect(isOciError(error, 'DENIED')).toBe(true)
  expect(isOciError(error, 'UNKNOWN')).toBe(false)
  expect(isOciError(new Error('no'))).toBe(false)
  expect(isOciError('DENIED')).toBe(false)
})

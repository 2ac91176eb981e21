import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseRangeHeader, parseUploadRange } from './ranges.ts'

const HUGE = '9'.repeat(500)

describe('Range header', () => {
  it.each([
    ['bytes=0-0', 0, 1],
    ['bytes=500-1499', 500, 1500],
    ['bytes=500-', 500, 2000],
    ['bytes=-500', 1500, 2000],
    ['bytes=-5000', 0, 2000],
    ['bytes=1999-1999', 1999, 2000],
    ['bytes=1000-5000', 1000, 2000],
    [`bytes=0-${HUGE}`, 0, 2000],
    [`bytes=-${HUGE}`, 0, 2000],
    ['BYTES= 1-2\t', 1, 3],
    ['bytes=0001-0002', 1, 3]
  ])('%s of 2000 bytes is %i up to %i', (header, start, end) => {
    expect(parseRangeHeader(header, 2000)).toEqual({ kind: 'part', range: { start, end } })
  })

  it.each([
    undefined,
    '',
    'bytes',
    'bytes=',
    'bytes=-',
    'bytes=a-b',
    'bytes=1.5-2',
    'bytes=+1-2',
    'bytes=0x1-0x2',
    'bytes=--1',
    'bytes 1-2',
    'items=1-2',
    'bytes=0-1,3-4',
    'bytes=0-1,',
    'bytes=1-2 x',
    '-1'
  ])('%j asks for the whole', (header) => {
    expect(parseRangeHeader(header, 2000)).toEqual({ kind: 'full' })
  })

  it.each([
    'bytes=2000-',
    'bytes=2000-2000',
    'bytes=5000-10000',
    'bytes=500-0',
    'bytes=5000-4000',
    'bytes=-0',
    `bytes=${HUGE}-`
  ])('%s of 2000 bytes can not be satisfied', (header) => {
    expect(parseRangeHeader(header, 2000)).toEqual({ kind: 'unsatisfiable' })
  })

  it('gives the whole of an empty blob for its last bytes, and has no first byte to give', () => {
    expect(parseRangeHeader('bytes=-5', 0)).toEqual({ kind: 'full' })
    expect(parseRangeHeader('bytes=0-', 0)).toEqual({ kind: 'unsatisfiable' })
    expect(parseRangeHeader(undefined, 0)).toEqual({ kind: 'full' })
  })

  it('never leaves the content, whatever is asked', () => {
    const number = fc.oneof(fc.maxSafeNat().map(String), fc.nat(20).map(String), fc.constantFrom('', HUGE, 'x'))
    fc.assert(
      fc.property(number, number, fc.nat(30), (first, last, size) => {
        const asked = parseRangeHeader(`bytes=${first}-${last}`, size)
        if (asked.kind !== 'part') return
        expect(asked.range.start).toBeGreaterThanOrEqual(0)
        expect(asked.range.start).toBeLessThan(asked.range.end)
        expect(asked.range.end).toBeLessThanOrEqual(size)
      })
    )
  })
})

describe('Content-Range of an upload', () => {
  it.each([
    ['0-0', 0, 1],
    ['0-1023', 0, 1024],
    ['bytes 5-9/*', 5, 10],
    ['bytes 5-9/10', 5, 10],
    ['bytes 5-9', 5, 10]
  ])('%s is %i up to %i', (header, start, end) => {
    expect(parseUploadRange(header)).toEqual({ start, end })
  })

  it.each([
    '',
    '-',
    '5',
    '5-',
    '-5',
    '5-4',
    '0--1',
    'bytes=0-1',
    'bytes */10',
    '0-1,2-3',
    ' 0-1',
    `0-${HUGE}`,
    '0-9007199254740991'
  ])('%j is refused', (header) => {
    expect(() => parseUploadRange(header)).toThrow(expect.objectContaining({ code: 'RANGE_INVALID', status: 416 }))
  })
})

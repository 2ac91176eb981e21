import fc from 'fast-check'
import { expect, it } from 'vitest'
import { pieceCount, pieceLengthFor, pieceRange } from './pieces.ts'

const MIB = 1024 * 1024

it('cuts blobs of up to 4 GiB into pieces of 1 MiB', () => {
  expect(pieceLengthFor(0)).toBe(MIB)
  expect(pieceLengthFor(4096 * MIB)).toBe(MIB)
  expect(pieceLengthFor(4096 * MIB + 1)).toBe(2 * MIB)
})

it('has no piece for the empty blob and one for a single byte', () => {
  expect(pieceCount(0)).toBe(0)
  expect(pieceCount(1)).toBe(1)
  expect(pieceCount(MIB)).toBe(1)
  expect(pieceCount(MIB + 1)).toBe(2)
})

it('covers a blob of any length exactly, in at most 4096 pieces', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 45 }), (length) => {
      const count = pieceCount(length)
      expect(count).toBeLessThanOrEqual(4096)
      expect(pieceRange(0, length).start).toBe(0)
      expect(pieceRange(count - 1, length).end).toBe(length)
      const middle = Math.floor(count / 2)
      if (middle > 0) expect(pieceRange(middle - 1, length).end).toBe(pieceRange(middle, length).start)
      const last = pieceRange(count - 1, length)
      expect(last.end).toBeGreaterThan(last.start)
    })
  )
})

import { digestOf } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import { PieceChecks } from '../hashing/piece-checks.ts'
import { bytesOf } from '../testing/bytes.ts'
import { RecentChecks } from './recent-checks.ts'

const A = digestOf(bytesOf(10, 1))
const B = digestOf(bytesOf(10, 2))
const C = digestOf(bytesOf(10, 3))

function checksOf(pieces: number): PieceChecks {
  return new PieceChecks(new Uint8Array(32 * pieces))
}

describe('recent checks', () => {
  it('are kept up to a bound, the latest longest', () => {
    const recent = new RecentChecks(4 * 48)
    const [a, b, c] = [checksOf(2), checksOf(2), checksOf(2)]
    recent.set(A, a)
    recent.set(B, b)
    recent.set(A, a)
    recent.set(C, c)
    expect([A, B, C].map((digest) => recent.get(digest))).toEqual([a, undefined, c])
  })

  it('make room when some are forgotten or replaced', () => {
    const recent = new RecentChecks(4 * 48)
    recent.set(A, checksOf(3))
    recent.set(A, checksOf(2))
    recent.set(B, checksOf(2))
    recent.delete(B)
    recent.delete(C)
    const c = checksOf(2)
    recent.set(C, c)
    expect(recent.get(A)).toBeDefined()
    expect(recent.get(B)).toBeUndefined()
    expect(recent.get(C)).toBe(c)
  })

  it('are not kept when they are larger than the bound', () => {
    const recent = new RecentChecks(48)
    recent.set(A, checksOf(2))
    expect(recent.get(A)).toBeUndefined()
  })
})

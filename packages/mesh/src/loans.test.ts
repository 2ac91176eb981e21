import { expect, it } from 'vitest'
import { BufferPool } from './buffer-pool.ts'
import { Loans } from './loans.ts'

function lendPiece() {
  const loans = new Loans(new BufferPool(1_000))
  const memory = loans.memory(100)
  const bytes = new Uint8Array(memory, 0, 100)
  loans.lend(bytes)
  return { loans, memory, bytes }
}

it('memory is used again once all that was lent of it is written, and no sooner', () => {
  const { loans, memory, bytes } = lendPiece()
  loans.written(bytes.subarray(0, 60))
  expect(loans.memory(100)).not.toBe(memory)
  expect(loans.isLent(bytes)).toBe(true)
  loans.written(bytes.subarray(60))
  expect(loans.isLent(bytes)).toBe(false)
  expect(loans.memory(100)).toBe(memory)
})

it('what was not lent does not matter', () => {
  const { loans, memory } = lendPiece()
  const header = new Uint8Array(100)
  expect(loans.isLent(header)).toBe(false)
  loans.written(header)
  expect(loans.memory(100)).not.toBe(memory)
})

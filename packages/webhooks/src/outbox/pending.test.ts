import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Pending } from './pending.ts'

const BOUNDS = { maxCount: 4, maxBytes: 100 }
const push = { bytes: 10, expendable: false }
const pull = { bytes: 10, expendable: true }

function filled(...entries: { bytes: number; expendable: boolean }[]): Pending {
  const pending = new Pending(BOUNDS)
  for (const [index, entry] of entries.entries()) {
    expect(pending.admit(index + 1, entry)).toEqual([])
    pending.written(index + 1)
  }
  return pending
}

it('drops the oldest pull first when there is no room for a push', () => {
  const pending = filled(push, pull, push, pull)
  expect(pending.admit(5, push)).toEqual([2])
  expect(pending.admit(6, push)).toEqual([4])
})

it('drops the oldest of all when there are only pushes', () => {
  const pending = filled(push, push, push, push)
  expect(pending.admit(5, push)).toEqual([1])
  expect(pending.take()).toBe(2)
})

it('drops a pull that finds no room itself', () => {
  const pending = filled(push, pull, push, pull)
  expect(pending.admit(5, pull)).toEqual([5])
  expect(pending.count).toBe(4)
})

it('does not drop what is being delivered', () => {
  const pending = filled(pull, push, push, push)
  expect(pending.take()).toBe(1)
  expect(pending.admit(5, push)).toEqual([2])
})

it('makes as much room as a long event needs, and none for one that is too long by itself', () => {
  const pending = filled(push, push, pull)
  expect(pending.admit(4, { bytes: 85, expendable: false })).toEqual([3, 1])
  expect(pending.bytes).toBe(95)
  expect(pending.admit(5, { bytes: 101, expendable: false })).toEqual([5])
  expect(pending.count).toBe(2)
})

it('gives out in order, and nothing before it was written', () => {
  const pending = new Pending(BOUNDS)
  pending.admit(1, push)
  pending.admit(2, push)
  pending.written(2)
  expect(pending.take()).toBeUndefined()
  pending.written(1)
  expect(pending.take()).toBe(1)
  pending.remove(1)
  expect(pending.take()).toBe(2)
})

it('puts back what was taken out, in its old place, as far as there is room', () => {
  const pending = filled(push, push, push)
  pending.remove(1)
  pending.remove(2)
  const entries = new Map([1, 2, 4, 5].map((sequence) => [sequence, push]))
  expect(pending.restore(entries, true)).toEqual([1, 2, 4])
  expect(pending.take()).toBe(1)
  expect(pending.restore(entries, true)).toEqual([])
})

it('never holds more than its bounds', () => {
  const entry = fc.record({ bytes: fc.integer({ min: 1, max: 120 }), expendable: fc.boolean() })
  fc.assert(
    fc.property(fc.array(fc.tuple(entry, fc.boolean())), (steps) => {
      const pending = new Pending(BOUNDS)
      for (const [sequence, [each, isTaken]] of steps.entries()) {
        pending.admit(sequence, each)
        pending.written(sequence)
        if (isTaken) pending.take()
        expect(pending.count).toBeLessThanOrEqual(BOUNDS.maxCount)
        expect(pending.bytes).toBeLessThanOrEqual(BOUNDS.maxBytes)
      }
    })
  )
})

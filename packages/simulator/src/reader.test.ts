import { expect, test } from 'vitest'
import { Clock } from './clock.ts'
import { Reader } from './reader.ts'

function setUp(bytesPerMs: number) {
  const clock = new Clock(1)
  const held = new Set<number>()
  const awaited: number[] = []
  const source = {
    has: (piece: number) => held.has(piece),
    bytesOf: () => 10,
    awaits: (piece: number) => awaited.push(piece)
  }
  const reader = new Reader(clock, source, { start: 1, end: 4 }, bytesPerMs)
  const keep = (piece: number) => {
    held.add(piece)
    reader.kept(piece)
  }
  const goOn = (steps: number) => {
    for (let step = 0; step < steps; step++) {
      clock.advance()
      clock.run()
    }
  }
  return { clock, reader, awaited, keep, goOn }
}

test('reads its range in order and tells what it waits for', () => {
  const { reader, awaited, keep, goOn } = setUp(Number.POSITIVE_INFINITY)
  reader.start()
  goOn(5)
  keep(2)
  keep(1)
  expect([awaited, reader.firstByteAt, reader.doneAt]).toEqual([[1, 3], 5, undefined])
  keep(3)
  expect(reader.doneAt).toBe(5)
})

test('takes no more than its rate', () => {
  const { reader, keep, goOn } = setUp(2)
  for (const piece of [1, 2, 3]) keep(piece)
  reader.start()
  goOn(14)
  expect(reader.doneAt).toBeUndefined()
  goOn(1)
  expect(reader.doneAt).toBe(15)
})

test('goes on once when its node comes back', () => {
  const { reader, awaited, keep, goOn } = setUp(2)
  keep(1)
  reader.start()
  reader.start()
  goOn(5)
  expect(awaited).toEqual([2])
})

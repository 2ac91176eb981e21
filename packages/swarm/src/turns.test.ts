import { expect, it } from 'vitest'
import { Turns } from './turns.ts'

it('lets each peer be the first in turn', () => {
  const turns = new Turns()
  const peers = ['one', 'two', 'three']
  expect(Array.from({ length: 7 }, () => turns.next(peers))).toEqual([...peers, ...peers, 'one'])
})

it('gives one that comes later a turn at once, and then no more than the others', () => {
  const turns = new Turns()
  for (let i = 0; i < 5; i++) turns.next(['one', 'two'])
  const peers = ['one', 'two', 'late']
  expect(Array.from({ length: 6 }, () => turns.next(peers))).toEqual(['late', 'two', 'one', 'late', 'two', 'one'])
})

it('names nobody when there is nobody, and only those who are there', () => {
  const turns = new Turns()
  expect(turns.next([])).toBeUndefined()
  expect([turns.next(['one', 'two']), turns.next(['one']), turns.next(['one', 'two'])]).toEqual(['one', 'one', 'two'])
})

it('knows nothing of one that was gone', () => {
  const turns = new Turns()
  turns.next(['one'])
  turns.next(['two'])
  turns.forget('two')
  expect(turns.next(['one', 'two'])).toBe('two')
})

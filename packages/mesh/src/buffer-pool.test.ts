import { expect, it } from 'vitest'
import { BufferPool } from './buffer-pool.ts'

it('gives a buffer out again after it was given back, and never twice', () => {
  const pool = new BufferPool(100)
  const first = pool.take(10)
  pool.give(first)
  expect(pool.take(10).buffer).toBe(first.buffer)
  expect(pool.take(10).buffer).not.toBe(first.buffer)
})

it('gives only buffers of the length that was asked for', () => {
  const pool = new BufferPool(100)
  pool.give(pool.take(20))
  expect(pool.take(10).byteLength).toBe(10)
})

it('keeps no more than its bound', () => {
  const pool = new BufferPool(25)
  const buffers = [pool.take(10), pool.take(10), pool.take(10)].map((taken) => taken.buffer)
  for (const buffer of buffers) pool.give(new Uint8Array(buffer))
  const again = [pool.take(10), pool.take(10), pool.take(10)]
  expect(again.filter(({ buffer }) => buffers.includes(buffer))).toHaveLength(2)
})

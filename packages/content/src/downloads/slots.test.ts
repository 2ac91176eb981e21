import { describe, expect, it } from 'vitest'
import { Slots } from './slots.ts'

const never = new AbortController().signal

describe('slots', () => {
  it('are given in the order they were asked for', async () => {
    const slots = new Slots(1)
    const turns: string[] = []
    await slots.acquire(never)
    const waiting = ['a', 'b'].map((name) => slots.acquire(never).then(() => turns.push(name)))
    slots.release()
    await waiting[0]
    expect(turns).toEqual(['a'])
    slots.release()
    await waiting[1]
    expect(turns).toEqual(['a', 'b'])
  })

  it('are not lost when one who waits leaves', async () => {
    const slots = new Slots(1)
    await slots.acquire(never)
    const leave = new AbortController()
    const leaving = slots.acquire(leave.signal)
    const staying = slots.acquire(never)
    leave.abort(new Error('left'))
    await expect(leaving).rejects.toThrow('left')
    slots.release()
    await staying
    slots.release()
    await slots.acquire(never)
  })

  it('go on when one leaves at the moment of its turn', async () => {
    const slots = new Slots(1)
    await slots.acquire(never)
    const leave = new AbortController()
    const leaving = slots.acquire(leave.signal)
    const staying = slots.acquire(never)
    leave.abort(new Error('left'))
    slots.release()
    await expect(leaving).rejects.toThrow('left')
    await staying
  })
})

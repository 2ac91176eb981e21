import { describe, expect, it } from 'vitest'
import { KeyedLock } from './keyed-lock.ts'

describe('keyed lock', () => {
  it('runs work on one key in order, and on others beside it', async () => {
    const lock = new KeyedLock()
    const gate = Promise.withResolvers<void>()
    const order: string[] = []
    const first = lock.run('a', async () => {
      await gate.promise
      order.push('a1')
    })
    const second = lock.run('a', async () => order.push('a2'))
    await lock.run('b', async () => order.push('b'))
    gate.resolve()
    await Promise.all([first, second])
    expect(order).toEqual(['b', 'a1', 'a2'])
  })

  it('goes on after work that failed', async () => {
    const lock = new KeyedLock()
    const failing = lock.run('a', async () => {
      throw new Error('no')
    })
    const next = lock.run('a', async () => 'yes')
    await expect(failing).rejects.toThrow('no')
    expect(await next).toBe('yes')
  })
})

import { describe, expect, test } from 'vitest'
import { Clock } from './clock.ts'

function happenings(clock: Clock, delays: readonly number[], steps: number): string[] {
  const happened: string[] = []
  for (const [index, delay] of delays.entries()) clock.after(delay, () => happened.push(`${index} at ${clock.now}`))
  for (let step = 0; step < steps; step++) {
    clock.run()
    clock.advance()
  }
  return happened
}

describe('Clock', () => {
  test('lets things happen in the order of their time, and of one step as they were entered', () => {
    expect(happenings(new Clock(2), [3, 0, 4, 1, 3], 4)).toEqual(['1 at 0', '3 at 2', '0 at 4', '2 at 4', '4 at 4'])
  })

  test('lets happen now what is entered for now while now goes on', () => {
    const clock = new Clock(2)
    const happened: number[] = []
    clock.after(0, () => clock.after(0, () => happened.push(clock.now)))
    clock.run()
    expect(happened).toEqual([0])
    expect(clock.entries).toBe(0)
  })

  test('skips to the next entry', () => {
    const clock = new Clock(2)
    clock.after(1_001, () => undefined)
    clock.skip()
    expect(clock.now).toBe(1_002)
  })
})

import { expect, it } from 'vitest'
import { LeftAlone, type Pass } from './left-alone.ts'

function start() {
  const clock = { now: 0 }
  const told: string[] = []
  const gate = new LeftAlone(
    {
      now: () => clock.now,
      onLeft: (key, forMs) => told.push(`${key} left for ${forMs}`),
      onTaken: (key) => told.push(`${key} taken`)
    },
    { pauseMs: 10, maxPauseMs: 35 }
  )
  const enter = (key = 'a'): Pass => {
    const pass = gate.enter(key)
    if (typeof pass === 'number') throw new Error(`left alone for ${pass}`)
    return pass
  }
  const isLeft = (key = 'a') => typeof gate.enter(key) === 'number'
  return { clock, told, gate, enter, isLeft }
}

it('lets everything pass while nothing failed', () => {
  const { enter } = start()
  expect(enter().isProbe).toBe(false)
  enter().succeeded()
  enter().end()
  expect(enter().isProbe).toBe(false)
})

it('leaves alone what failed, and nothing else', () => {
  const { enter, isLeft } = start()
  enter('a').failed()
  expect([isLeft('a'), isLeft('b')]).toEqual([true, false])
})

it('has one probe after the pause, for which the others wait', () => {
  const { clock, enter, isLeft } = start()
  enter().failed()
  clock.now = 9
  expect(isLeft()).toBe(true)
  clock.now = 10
  expect(enter().isProbe).toBe(true)
  expect(isLeft()).toBe(true)
})

it('doubles the pause with each probe that fails, up to a bound', () => {
  const { clock, gate, enter } = start()
  enter().failed()
  const pauses: number[] = []
  for (let probe = 0; probe < 4; probe++) {
    const before = clock.now
    for (;;) {
      const pass = gate.enter('a')
      if (typeof pass !== 'number') {
        pass.failed()
        break
      }
      clock.now++
    }
    pauses.push(clock.now - before)
  }
  expect(pauses).toEqual([10, 20, 35, 35])
})

it('lets another probe in when the first one was broken off', () => {
  const { clock, enter, isLeft } = start()
  enter().failed()
  clock.now = 10
  const probe = enter()
  expect(probe.isProbe).toBe(true)
  expect(isLeft()).toBe(true)
  probe.end()
  expect(enter().isProbe).toBe(true)
})

it('asks as before once a probe went well, and begins anew with pauses', () => {
  const { clock, told, enter, isLeft } = start()
  enter().failed()
  clock.now = 10
  enter().failed()
  clock.now = 30
  enter().succeeded()
  expect(enter().isProbe).toBe(false)
  enter().failed()
  clock.now = 39
  expect(isLeft()).toBe(true)
  clock.now = 40
  expect(enter().isProbe).toBe(true)
  expect(told).toEqual(['a left for 10', 'a taken', 'a left for 10'])
})

it('does not count what was under way when it began to fail', () => {
  const { clock, enter } = start()
  const passes = [enter(), enter(), enter()]
  for (const pass of passes) pass.failed()
  clock.now = 10
  expect(enter().isProbe).toBe(true)
})

it('leaves alone for as long as it is asked to, within bounds', () => {
  const { clock, enter, isLeft } = start()
  enter().failed({ pauseMs: 20 })
  clock.now = 19
  expect(isLeft()).toBe(true)
  clock.now = 20
  enter().failed({ pauseMs: 1_000_000 })
  clock.now = 54
  expect(isLeft()).toBe(true)
  clock.now = 55
  expect(isLeft()).toBe(false)
})

it('tolerates failures in a row, counted anew after a success', () => {
  const { enter, isLeft } = start()
  for (const _ of [1, 2]) enter().failed({ tolerated: 2 })
  enter().succeeded()
  for (const _ of [1, 2]) enter().failed({ tolerated: 2 })
  expect(isLeft()).toBe(false)
  enter().failed({ tolerated: 2 })
  expect(isLeft()).toBe(true)
})

it('forgets what was asked longest ago rather than to grow', () => {
  const { enter, isLeft } = start()
  for (let at = 0; at < 1_000; at++) enter(`key ${at}`).failed()
  expect([isLeft('key 0'), isLeft('key 999')]).toEqual([false, true])
})

it('does not ask at once what asks to be left alone for no time at all', () => {
  const { enter, isLeft } = start()
  enter('a').failed({ pauseMs: 0 })
  expect(isLeft('a')).toBe(true)
})

import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { FakeClock } from '../testing/fakes.ts'
import { LOGIN_THROTTLE_DEFAULTS, LoginThrottle, type LoginThrottleOptions } from './login-throttle.ts'

const HERE = '192.0.2.1'
const ELSEWHERE = '198.51.100.7'
const LOOPBACKS = ['127.0.0.1', '127.1.2.3', '::1', '::ffff:127.0.0.1', '0:0:0:0:0:0:0:1']

let clock: FakeClock
let throttle: LoginThrottle

beforeEach(() => {
  clock = new FakeClock()
  throttle = make()
})

function make(options: LoginThrottleOptions = {}) {
  return new LoginThrottle({ clock: clock.now }, options)
}

/** How long an attempt has to wait, in ms; 0 when it may be made. */
function waitMs(address: string, user: string): number {
  try {
    throttle.begin(address, user).abandoned()
    return 0
  } catch (error) {
    expect(error).toMatchObject({ code: 'TOOMANYREQUESTS' })
    return (error as { retryAfterMs: number }).retryAfterMs
  }
}

function fail(address: string, user: string, times = 1): void {
  for (let i = 0; i < times; i++) throttle.begin(address, user).failed()
}

describe('failed log-ins', () => {
  it('cost nothing at first, then a delay that doubles up to a quarter of an hour', () => {
    fail(HERE, 'alice', 5)
    expect(waitMs(HERE, 'alice')).toBe(0)
    for (const seconds of [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]) {
      fail(HERE, 'alice')
      expect(waitMs(HERE, 'alice')).toBe(seconds * 1000)
      clock.advance(seconds * 1000)
      expect(waitMs(HERE, 'alice')).toBe(0)
    }
  })

  it('are forgotten after a success, and when none came for half an hour', () => {
    fail(HERE, 'alice', 5)
    throttle.begin(HERE, 'alice').succeeded()
    fail(HERE, 'alice', 5)
    expect(waitMs(HERE, 'alice')).toBe(0)
    clock.advance(LOGIN_THROTTLE_DEFAULTS.forgetAfterMs + 1)
    fail(HERE, 'alice', 5)
    expect(waitMs(HERE, 'alice')).toBe(0)
  })

  it('of one user at one address leave others at it, and the user elsewhere, alone', () => {
    fail(HERE, 'alice', 6)
    expect(waitMs(HERE, 'alice')).toBeGreaterThan(0)
    expect(waitMs(HERE, 'bob')).toBe(0)
    expect(waitMs(ELSEWHERE, 'alice')).toBe(0)
  })

  it('from everywhere never lock a user out at an address that has not failed', () => {
    for (let i = 0; i < 1_000; i++) fail(`10.0.${i >> 8}.${i & 255}`, 'alice')
    expect(waitMs(ELSEWHERE, 'alice')).toBe(0)
  })

  it('from everywhere make each address that fails for this user wait after its first one', () => {
    for (let i = 0; i < 50; i++) fail(`10.0.0.${i}`, 'alice')
    fail(ELSEWHERE, 'alice')
    expect(waitMs(ELSEWHERE, 'alice')).toBe(0)
    fail(ELSEWHERE, 'alice')
    expect(waitMs(ELSEWHERE, 'alice')).toBe(1_000)
    fail(ELSEWHERE, 'bob', 2)
    expect(waitMs(ELSEWHERE, 'bob')).toBe(0)
  })

  it('for many users make an address wait as a whole, half a minute at most', () => {
    for (let i = 0; i < 20; i++) fail(HERE, `user${i}`)
    expect(waitMs(HERE, 'another')).toBe(0)
    for (let i = 20; i < 40; i++) {
      fail(HERE, `user${i}`)
      clock.advance(waitMs(HERE, 'another'))
    }
    fail(HERE, 'last')
    expect(waitMs(HERE, 'another')).toBe(30_000)
    expect(waitMs(ELSEWHERE, 'another')).toBe(0)
  })

  it('of one user again and again do not make the whole address wait', () => {
    for (let i = 0; i < 100; i++) {
      fail(HERE, 'stale-secret')
      clock.advance(waitMs(HERE, 'stale-secret'))
    }
    expect(waitMs(HERE, 'alice')).toBe(0)
  })

  it('are counted for an IPv6 subscriber, whichever of its addresses they come from', () => {
    fail('2001:db8:0:1::1', 'alice', 3)
    fail('2001:db8:0:1:ffff::2', 'alice', 3)
    expect(waitMs('2001:db8::1:0:0:0:9', 'alice')).toBeGreaterThan(0)
    expect(waitMs('2001:db8:0:2::1', 'alice')).toBe(0)
  })

  it('are counted for one address in both of its spellings', () => {
    fail(HERE, 'alice', 3)
    fail(`::ffff:${HERE}`, 'alice', 3)
    expect(waitMs(HERE, 'alice')).toBeGreaterThan(0)
  })

  it.each(LOOPBACKS)('at %s, which all of this host share, cost seconds and never close it', (address) => {
    fail(address, 'alice', 20)
    expect(waitMs(address, 'alice')).toBe(0)
    for (let i = 0; i < 10; i++) {
      fail(address, 'alice')
      clock.advance(waitMs(address, 'alice'))
    }
    fail(address, 'alice')
    expect(waitMs(address, 'alice')).toBe(5_000)
    for (let i = 0; i < 100; i++) fail(address, `user${i}`)
    expect(waitMs(address, 'bob')).toBe(0)
  })

  it('of clients of another node are counted by the node and their address', () => {
    fail(`12D3KooWA/${HERE}`, 'alice', 6)
    expect(waitMs(`12D3KooWA/${HERE}`, 'alice')).toBeGreaterThan(0)
    expect(waitMs(`12D3KooWA/${ELSEWHERE}`, 'alice')).toBe(0)
    expect(waitMs(`12D3KooWB/${HERE}`, 'alice')).toBe(0)
    expect(waitMs(HERE, 'alice')).toBe(0)
  })
})

describe('attempts at one time', () => {
  it('count as failed until their end is known', () => {
    const five = Array.from({ length: 5 }, () => throttle.begin(HERE, 'alice'))
    expect(waitMs(HERE, 'alice')).toBeGreaterThan(0)
    for (const attempt of five) attempt.abandoned()
    expect(waitMs(HERE, 'alice')).toBe(0)
  })

  it('come one by one when too many have failed', () => {
    fail(HERE, 'alice', 5)
    const attempt = throttle.begin(HERE, 'alice')
    expect(waitMs(HERE, 'alice')).toBeGreaterThan(0)
    attempt.succeeded()
    expect(waitMs(HERE, 'alice')).toBe(0)
  })

  it('are a few for each address', () => {
    for (let i = 0; i < 8; i++) throttle.begin(HERE, `user${i}`)
    expect(waitMs(HERE, 'another')).toBeGreaterThan(0)
    expect(waitMs(ELSEWHERE, 'another')).toBe(0)
  })

  it('end once', () => {
    const attempt = throttle.begin(HERE, 'alice')
    attempt.failed()
    attempt.failed()
    attempt.succeeded()
    attempt.abandoned()
    fail(HERE, 'alice', 4)
    expect(waitMs(HERE, 'alice')).toBe(0)
    fail(HERE, 'alice')
    expect(waitMs(HERE, 'alice')).toBeGreaterThan(0)
  })
})

it('keeps its tables bounded, and drops what was used longest ago', () => {
  throttle = make({ maxEntries: 10 })
  fail(HERE, 'alice', 6)
  for (let i = 0; i < 9; i++) fail(ELSEWHERE, `user${i}`)
  expect(waitMs(HERE, 'alice')).toBeGreaterThan(0)
  for (let i = 0; i < 1_000; i++) fail(`10.0.${i >> 8}.${i & 255}`, `user${i}`)
  expect(waitMs(HERE, 'alice')).toBe(0)
})

it('always lets the first attempt of an address be made, whatever happened elsewhere', () => {
  const step = fc.record({
    address: fc.constantFrom('192.0.2.1', '192.0.2.2', '2001:db8::1', '127.0.0.1', 'peer/192.0.2.9'),
    user: fc.constantFrom('alice', 'bob'),
    end: fc.constantFrom('failed' as const, 'succeeded' as const, 'abandoned' as const),
    waitMs: fc.nat({ max: 60_000 })
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      clock = new FakeClock()
      throttle = make()
      for (const { address, user, end, waitMs: ms } of steps) {
        clock.advance(ms)
        if (waitMs(address, user) === 0) throttle.begin(address, user)[end]()
      }
      expect(waitMs(ELSEWHERE, 'alice')).toBe(0)
    })
  )
})

it('lets no node have more passwords checked at one time by naming ever other clients', () => {
  throttle = make({ maxAtOnceShared: 3 })
  for (const client of ['192.0.2.1', '192.0.2.2', 'anything']) throttle.begin(`12D3KooWA/${client}`, client)
  for (const client of ['192.0.2.3', '2001:db8::1', 'else']) {
    expect(() => throttle.begin(`12D3KooWA/${client}`, client), client).toThrow(/too many/)
  }
  throttle.begin('12D3KooWB/192.0.2.3', 'alice').abandoned()
  throttle.begin('192.0.2.3', 'alice').abandoned()
})

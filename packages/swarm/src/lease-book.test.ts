import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LeaseBook } from './lease-book.ts'
import { LEASE_DEFAULTS, type LeaseEnd, type LeaseEvent, type LeaseOptions } from './lease-events.ts'
import { digest, other } from './testing/events.ts'

const { lapseMs, failureMs, sourceMs } = LEASE_DEFAULTS

/** A book and short ways to tell it what happened, with what it answers as text. */
function bookOf(options: Partial<LeaseOptions> = {}) {
  const book = new LeaseBook(options)
  let now = 0
  const step = (event: LeaseEvent) =>
    book.step(now, event).map((action) => {
      if (action.type === 'held') return `${action.peer}: held by ${action.holder}`
      return action.type === 'refused' ? `${action.peer}: ${action.reason}` : `${action.peer}: granted`
    })
  const of = (peer: string, zone = 'east') => ({ peer, zone, digest })
  return {
    book,
    acquire: (peer: string, more: { holding?: boolean; stalled?: boolean; holder?: string; zone?: string } = {}) =>
      step({ type: 'acquire', ...of(peer), ...more }),
    follow: (peer: string) => step({ type: 'follow', ...of(peer) }),
    renew: (peer: string) => step({ type: 'renew', ...of(peer) }),
    release: (peer: string, reason: LeaseEnd) => step({ type: 'release', ...of(peer), reason }),
    gone: (peer: string) => step({ type: 'gone', peer }),
    pass: (ms: number) => {
      const told: string[] = []
      for (const end = now + ms; now < end; ) {
        now = Math.min(now + 500, end)
        told.push(...step({ type: 'tick' }))
      }
      return told
    },
    step
  }
}

describe('a lease', () => {
  it('goes to the first who asks, and others are told who that is', () => {
    const { acquire } = bookOf()
    expect(acquire('a')).toEqual(['a: granted'])
    expect(acquire('b')).toEqual(['b: held by a'])
    expect(acquire('a')).toEqual(['a: granted'])
  })

  it('is another one for another zone, and for another blob', () => {
    const { acquire, step } = bookOf()
    acquire('a')
    expect(acquire('b', { zone: 'west' })).toEqual(['b: granted'])
    expect(step({ type: 'acquire', peer: 'b', zone: 'east', digest: other })).toEqual(['b: granted'])
  })

  it('goes to the next when its holder is gone, and all who wait are told', () => {
    const { acquire, gone } = bookOf()
    for (const peer of ['a', 'b', 'c', 'd']) acquire(peer)
    expect(gone('a')).toEqual(['b: granted', 'c: held by b', 'd: held by b'])
    expect(gone('c')).toEqual([])
    expect(gone('b')).toEqual(['d: granted'])
  })

  it('goes to the next when its holder says nothing for too long, and back to it at last', () => {
    const { acquire, renew, pass } = bookOf()
    acquire('a')
    acquire('b')
    for (let second = 0; second < 10; second++) {
      expect(pass(1_000)).toEqual([])
      renew('a')
    }
    expect(pass(lapseMs - 1)).toEqual([])
    expect(pass(1)).toEqual(['b: granted', 'a: held by b'])
    expect(pass(lapseMs)).toEqual(['a: granted', 'b: held by a'])
  })

  it('is not taken from its holder because the arbiter itself stood still', () => {
    const { acquire, renew, pass, step, book } = bookOf()
    acquire('a')
    pass(500)
    expect(book.step(60_000, { type: 'tick' })).toEqual([])
    expect(step({ type: 'renew', peer: 'a', zone: 'east', digest })).toEqual(renew('a'))
  })

  it('stays where it is when one who waits goes away', () => {
    const { acquire, release } = bookOf()
    acquire('a')
    acquire('b')
    expect(release('b', 'left')).toEqual([])
    expect(release('a', 'left')).toEqual([])
  })

  it('is over when the blob is there, and whoever waits or asks gets it from the one who has it', () => {
    const { acquire, release, pass } = bookOf()
    acquire('a')
    acquire('b')
    expect(release('a', 'done')).toEqual(['b: held by a'])
    expect(acquire('c')).toEqual(['c: held by a'])
    expect(acquire('c', { stalled: true })).toEqual(['c: granted', 'b: held by c'])
    release('c', 'done')
    release('b', 'left')
    pass(sourceMs)
    expect(acquire('d')).toEqual(['d: granted'])
  })

  it('is given anew when the one who has the blob is gone', () => {
    const { acquire, release, gone } = bookOf()
    acquire('a')
    release('a', 'done')
    gone('a')
    expect(acquire('b')).toEqual(['b: granted'])
  })

  it('has a second holder, and no third, when others get nothing from the first', () => {
    const { acquire, gone } = bookOf()
    for (const peer of ['a', 'b', 'c']) acquire(peer)
    expect(acquire('b', { stalled: true })).toEqual(['b: granted', 'c: held by b'])
    expect(acquire('c', { stalled: true })).toEqual(['c: held by b'])
    // One of them still brings the blob in.
    expect(gone('b')).toEqual([])
    expect(acquire('c')).toEqual(['c: held by a'])
  })

  it('is known again from its holder after the arbiter has forgotten it, but taken from nobody', () => {
    const { acquire } = bookOf()
    expect(acquire('a', { holding: true })).toEqual(['a: granted'])
    expect(acquire('b', { holding: true })).toEqual(['b: held by a'])
  })
})

describe('an arbiter that knows nothing of a lease', () => {
  it('waits for the holder that is named to it, and has it hold on', () => {
    const { acquire, renew, pass } = bookOf()
    expect(acquire('b', { holder: 'a' })).toEqual(['b: held by a'])
    expect(acquire('c', { holder: 'a' })).toEqual(['c: held by a'])
    pass(lapseMs - 500)
    expect(acquire('a', { holding: true })).toEqual(['a: granted'])
    renew('a')
    expect(pass(lapseMs - 500)).toEqual([])
  })

  it('does not wait long, nor for one who is named when it knows better, nor for the asker itself', () => {
    const { acquire, pass, gone } = bookOf()
    acquire('b', { holder: 'a' })
    expect(pass(lapseMs)).toEqual(['b: granted', 'a: held by b'])
    expect(acquire('c', { holder: 'd' })).toEqual(['c: held by b'])
    gone('b')
    const other = bookOf()
    expect(other.acquire('a', { holder: 'a' })).toEqual(['a: granted'])
  })
})

describe('a blob that a holder can not get', () => {
  it('may be tried by others, up to a bound, and then all are refused', () => {
    const { acquire, release, follow } = bookOf()
    for (const peer of ['a', 'b', 'c', 'd', 'e']) acquire(peer)
    expect(release('a', 'failed')).toEqual(['b: granted', 'c: held by b', 'd: held by b', 'e: held by b'])
    expect(follow('a')).toEqual(['a: held by b'])
    expect(release('b', 'failed')[0]).toBe('c: granted')
    expect(release('c', 'failed')).toEqual(['d: failed', 'e: failed', 'a: failed'])
    expect(acquire('f')).toEqual(['f: failed'])
  })

  it('is tried again after a while', () => {
    const { acquire, release, pass } = bookOf()
    for (const peer of ['a', 'b', 'c']) {
      acquire(peer)
      release(peer, 'failed')
    }
    expect(acquire('d')).toEqual(['d: failed'])
    pass(failureMs)
    expect(acquire('d')).toEqual(['d: granted'])
  })

  it('is tried by one peer so often, since it may ask for several clients', () => {
    const { acquire, release } = bookOf()
    for (let tries = 0; tries < LEASE_DEFAULTS.maxTriesPerPeer; tries++) {
      expect(acquire('a')).toEqual(['a: granted'])
      release('a', 'failed')
    }
    expect(acquire('a')).toEqual(['a: failed'])
    expect(acquire('b')).toEqual(['b: granted'])
  })

  it('is refused at once to one who can not get it when nobody else tries', () => {
    const { acquire, release, follow } = bookOf()
    acquire('a')
    release('a', 'failed')
    expect(follow('a')).toEqual(['a: failed'])
  })
})

describe('what is kept', () => {
  it('is nothing once nobody wants anything', () => {
    const { book, acquire, release, gone, pass } = bookOf()
    for (const peer of ['a', 'b', 'c']) acquire(peer)
    release('a', 'failed')
    release('b', 'done')
    gone('c')
    pass(sourceMs + failureMs)
    expect(book.size).toBe(0)
  })

  it('has a bound for each peer and for all', () => {
    const { step } = bookOf({ maxPerPeer: 2, maxLeases: 3 })
    const ask = (peer: string, zone: string) => step({ type: 'acquire', peer, zone, digest })
    expect([ask('a', '1'), ask('a', '2'), ask('a', '3')].flat()).toEqual(['a: granted', 'a: granted', 'a: busy'])
    expect([ask('b', '3'), ask('c', '4'), ask('c', '1')].flat()).toEqual(['b: granted', 'c: busy', 'c: held by a'])
    step({ type: 'release', peer: 'a', zone: '2', digest, reason: 'left' })
    expect(ask('a', '5')).toEqual(['a: granted'])
  })
})

describe('whatever happens', () => {
  const peers = ['a', 'b', 'c', 'd']
  const event = fc.record({
    kind: fc.constantFrom('acquire', 'acquire', 'follow', 'renew', 'release', 'gone', 'wait'),
    peer: fc.constantFrom(...peers),
    stalled: fc.boolean(),
    holding: fc.boolean(),
    reason: fc.constantFrom<LeaseEnd>('done', 'failed', 'left')
  })

  it('no more than two hold a lease, and none who was told so holds it unheard', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 80 }), (events) => {
        const book = new LeaseBook()
        const holding = new Set<string>()
        let now = 0
        for (const { kind, peer, stalled, holding: claims, reason } of events) {
          const of = { peer, zone: 'z', digest }
          now += kind === 'wait' ? 1_000 : 10
          const told: LeaseEvent =
            kind === 'acquire'
              ? { type: kind, ...of, stalled, holding: claims }
              : kind === 'release'
                ? { type: kind, ...of, reason }
                : kind === 'wait'
                  ? { type: 'tick' }
                  : { type: kind as 'follow' | 'renew' | 'gone', ...of }
          if (kind === 'gone' || kind === 'release') holding.delete(peer)
          for (const action of book.step(now, told)) {
            if (action.type === 'granted') holding.add(action.peer)
            else if (action.type === 'held') holding.delete(action.peer)
          }
          expect(holding.size, `after ${kind} of ${peer}`).toBeLessThanOrEqual(2)
        }
        for (const peer of peers) book.step(now, { type: 'gone', peer })
        for (let tick = 1; tick < 130; tick++) book.step(now + 500 * tick, { type: 'tick' })
        expect(book.size).toBe(0)
      }),
      { numRuns: 300 }
    )
  })
})

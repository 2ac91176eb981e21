import { Bitfield } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import type { PeerScope } from './events.ts'
import { Swarm } from './swarm.ts'
import { arrived, digest, has, joined, MIB, of, other, pieces, requests, want } from './testing/events.ts'

const PIECES = 60
const NAMES = ['one', 'two', 'three']

/** Members of one zone that know each other, and what each asks of a source that has all pieces. */
function membersWith(scope: PeerScope, options = {}) {
  return NAMES.map((self) => {
    const swarm = new Swarm(self, { firstAheadBytes: 100 * MIB, maxOwedBytes: 100 * MIB, ...options })
    swarm.step(0, want(PIECES))
    for (const peer of NAMES) if (peer !== self) swarm.step(0, joined(peer, new Bitfield(PIECES)))
    const actions = swarm.step(0, joined('source', Bitfield.full(PIECES), scope))
    return { self, swarm, actions, asked: requests(actions).map(({ piece }) => piece) }
  })
}

describe.each([
  ['an origin', 'zone'],
  ['another zone', 'far']
] as const)('what only %s has', (_what, scope) => {
  it('is asked by one member each, and all of it is asked', () => {
    const all = membersWith(scope).flatMap(({ asked }) => asked)
    expect(all.sort((a, b) => a - b)).toEqual([...Array(PIECES).keys()])
  })

  it('is shared out about evenly, and told to the others', () => {
    for (const { asked, actions } of membersWith(scope)) {
      expect(asked.length).toBeGreaterThan(PIECES / 6)
      expect(of(actions, 'tell-fetching').flatMap((action) => action.pieces)).toEqual(asked)
    }
  })

  it('is left to a member that said it brings it in, as long as that is heard of', () => {
    const swarm = new Swarm('self', { takeOverAfterMs: 3000, settleMs: 0 })
    swarm.step(0, want(1))
    swarm.step(0, joined('member', new Bitfield(1)))
    swarm.step(0, { type: 'peer-fetching', digest, peer: 'member', pieces: [0] })
    expect(requests(swarm.step(0, joined('source', Bitfield.full(1), scope)))).toEqual([])
    for (let now = 1000; now <= 9000; now += 1000) {
      swarm.step(now, { type: 'peer-fetching', digest, peer: 'member', pieces: [0] })
      expect(requests(swarm.step(now, { type: 'tick' }))).toEqual([])
    }
  })

  it('is taken over when nothing more is heard of it, or when the member is gone', () => {
    for (const event of [{ type: 'tick' }, { type: 'peer-gone', peer: 'member' }] as const) {
      const swarm = new Swarm('self', { takeOverAfterMs: 3000 })
      swarm.step(0, want(1))
      swarm.step(0, joined('member', new Bitfield(1)))
      swarm.step(0, { type: 'peer-fetching', digest, peer: 'member', pieces: [0] })
      swarm.step(0, joined('source', Bitfield.full(1), scope))
      swarm.step(100, { type: 'tick' })
      const now = event.type === 'tick' ? 3600 : 200
      expect(requests(swarm.step(now, event))).toEqual([{ peer: 'source', piece: 0 }])
    }
  })

  it('is told again and again while it comes, and no more when it stalls', () => {
    const swarm = new Swarm('self', { tellFetchingEveryMs: 1000, silentAfterMs: 60_000 })
    swarm.step(0, want(1))
    swarm.step(0, joined('member', new Bitfield(1)))
    swarm.step(0, joined('source', Bitfield.full(1), scope))
    const told: number[] = []
    for (let now = 100; now <= 12_000; now += 100) {
      if (now <= 6000) swarm.step(now, { type: 'progress', peer: 'source', bytes: 10 })
      if (of(swarm.step(now, { type: 'tick' }), 'tell-fetching').length > 0) told.push(now)
    }
    expect(told.length).toBeGreaterThanOrEqual(5)
    expect(Math.max(...told)).toBeLessThanOrEqual(8000)
  })

  it('is brought in by an idle member when its own part is done, if nobody has begun it', () => {
    const [first] = membersWith(scope, { settleMs: 1000 })
    const { swarm, asked } = first ?? { swarm: new Swarm(''), asked: [] }
    for (const piece of asked) swarm.step(100, arrived('source', piece))
    expect(requests(swarm.step(200, { type: 'tick' }))).toEqual([])
    const more = requests(swarm.step(1000, { type: 'tick' })).map(({ piece }) => piece)
    expect(more.length).toBe(PIECES - asked.length)
  })

  it('is not asked again where it was given to another member, until a while later', () => {
    const swarm = new Swarm('self', { givenPauseMs: 5000 })
    swarm.step(0, want(1))
    swarm.step(0, joined('source', Bitfield.full(1), scope))
    const failed = { type: 'piece-failed', digest, peer: 'source', piece: 0, reason: 'given' } as const
    expect(requests(swarm.step(10, failed))).toEqual([])
    const actions = swarm.step(5000, { type: 'tick' })
    expect([requests(actions), of(actions, 'find-peers').length]).toEqual([[], 1])
    expect(requests(swarm.step(5010, { type: 'tick' }))).toEqual([{ peer: 'source', piece: 0 }])
  })
})

it('insists after a while on what others promise for ever, or have and do not give', () => {
  for (const kind of ['promise', 'busy'] as const) {
    const swarm = new Swarm('self', { insistAfterMs: 10_000, giveUpAfterMs: 60_000 })
    swarm.step(0, want(1))
    swarm.step(0, joined('member', new Bitfield(1)))
    if (kind === 'busy') swarm.step(0, has('member', 0))
    const asked = requests(swarm.step(0, joined('origin', Bitfield.full(1))))
    for (let now = 0; now <= 10_500 && asked.length === 0; now += 100) {
      if (kind === 'promise') swarm.step(now, { type: 'peer-fetching', digest, peer: 'member', pieces: [0] })
      const failed = { type: 'piece-failed', digest, peer: 'member', piece: 0, reason: 'busy' } as const
      const actions = [...swarm.step(now, failed), ...swarm.step(now, { type: 'tick' })]
      asked.push(...requests(actions).filter(({ peer }) => peer === 'origin'))
      if (asked.length > 0) expect(now).toBeGreaterThanOrEqual(10_000)
    }
    expect(asked).toEqual([{ peer: 'origin', piece: 0 }])
  }
})

it('takes from members what they have, and from afar only what no near peer has', () => {
  const swarm = new Swarm('self')
  swarm.step(0, want(3))
  swarm.step(0, joined('member', pieces(3, 0)))
  swarm.step(0, joined('origin', Bitfield.full(3)))
  const actions = swarm.step(0, joined('far', Bitfield.full(3), 'far'))
  expect(requests(actions)).toEqual([])
  swarm.step(1, { type: 'peer-gone', peer: 'origin' })
  const asked = requests(swarm.step(2, { type: 'tick' })).filter(({ peer }) => peer === 'far')
  expect(asked.every(({ piece }) => piece !== 0)).toBe(true)
})

it('keeps to the rate that it may take from afar, and does not hold back what is near', () => {
  const swarm = new Swarm('self', {
    farBytesPerSecond: MIB,
    firstAheadBytes: 100 * MIB,
    maxOwedBytes: 100 * MIB,
    maxHedges: 0
  })
  swarm.step(0, want(40))
  let far = requests(swarm.step(0, joined('far', Bitfield.full(40), 'far'))).length
  for (let now = 100; now <= 5000; now += 100) {
    far += requests(swarm.step(now, { type: 'progress', peer: 'far', bytes: 0 })).length
    far += requests(swarm.step(now, { type: 'tick' })).length
  }
  expect(far).toBeGreaterThanOrEqual(5)
  expect(far).toBeLessThanOrEqual(6)
  expect(requests(swarm.step(5001, joined('near', Bitfield.full(40)))).length).toBe(40 - far)
})

it('does not ask twice from afar, however long a piece takes', () => {
  const swarm = new Swarm('self', { silentAfterMs: 60_000, hedgeAfterMs: 100 })
  swarm.step(0, want(1))
  swarm.step(0, joined('far', Bitfield.full(1), 'far'))
  swarm.step(0, joined('also far', Bitfield.full(1), 'far'))
  for (let now = 100; now <= 10_000; now += 100) expect(requests(swarm.step(now, { type: 'tick' }))).toEqual([])
})

it('remembers what a member told since its first offer when it offers again', () => {
  const swarm = new Swarm('self', { maxOwedBytes: MIB })
  swarm.step(0, want(3))
  swarm.step(0, joined('member', pieces(3, 0)))
  swarm.step(1, has('member', 1))
  swarm.step(2, joined('member', pieces(3, 2)))
  const asked = [0]
  for (let now = 3; now < 5; now++)
    asked.push(...requests(swarm.step(now, arrived('member', asked.at(-1) ?? 0))).map(({ piece }) => piece))
  expect(asked.sort()).toEqual([0, 1, 2])
})

it('leaves to members what one of them has by now', () => {
  const swarm = new Swarm('self', { settleMs: 0, maxOwedBytes: MIB })
  swarm.step(0, want(2, pieces(2)))
  swarm.step(0, joined('member', new Bitfield(2)))
  const [first] = requests(swarm.step(0, joined('origin', Bitfield.full(2))))
  const rest = first?.piece === 0 ? 1 : 0
  swarm.step(1, has('member', rest))
  expect(requests(swarm.step(2, arrived('origin', first?.piece ?? 0)))).toEqual([{ peer: 'member', piece: rest }])
})

it('asks each piece of the same far peer as all others of its zone do, since that one knows that it gave it', () => {
  const FAR = ['afar', 'farther', 'farthest']
  const [asked, ...others] = NAMES.map((self) => {
    const swarm = new Swarm(self, { maxOwedBytes: MIB })
    // Owed all that may be, so that nothing is asked before all have joined.
    swarm.step(0, want(1, new Bitfield(1), other))
    swarm.step(0, joined('near', Bitfield.full(1), 'zone', other))
    swarm.step(0, want(PIECES))
    for (const peer of FAR) swarm.step(0, joined(peer, Bitfield.full(PIECES), 'far'))
    const askedOf: string[] = []
    let [next] = requests(swarm.step(1, arrived('near', 0, other)))
    while (next) {
      askedOf[next.piece] = next.peer
      ;[next] = requests(swarm.step(1, arrived(next.peer, next.piece)))
    }
    return askedOf
  })
  expect(asked).toHaveLength(PIECES)
  for (const peer of FAR) expect(asked?.filter((one) => one === peer).length).toBeGreaterThan(PIECES / 6)
  for (const one of others) expect(one).toEqual(asked)
})

it('asks far peers that lack some of the blob only when it has waited for members in vain', () => {
  const swarm = new Swarm('self', { takeOverAfterMs: 3000 })
  swarm.step(0, want(2))
  swarm.step(0, joined('member', new Bitfield(2)))
  swarm.step(0, joined('far', pieces(2, 0), 'far'))
  expect(requests(swarm.step(2000, { type: 'tick' }))).toEqual([])
  expect(requests(swarm.step(3000, { type: 'tick' }))).toEqual([{ peer: 'far', piece: 0 }])
})

describe('a blob that comes into the mesh by this node', () => {
  it('lacks what no peer offers, in the order of the blob', () => {
    const swarm = new Swarm('self')
    swarm.step(0, { ...want(4), entering: true })
    expect(swarm.firstUnoffered(digest)).toBe(0)
    expect(swarm.firstUnoffered(digest, 0)).toBe(1)
    swarm.step(0, joined('member', pieces(4, 0, 2)))
    expect(swarm.firstUnoffered(digest)).toBe(1)
    swarm.step(0, { type: 'entered', digest, piece: 1 })
    expect(swarm.firstUnoffered(digest)).toBe(3)
    swarm.step(0, { type: 'peer-gone', peer: 'member' })
    expect(swarm.firstUnoffered(digest)).toBe(0)
  })

  it('is complete when its last piece has come from outside, and what was asked of peers is taken back', () => {
    const swarm = new Swarm('self')
    swarm.step(0, { ...want(1), entering: true })
    expect(requests(swarm.step(0, joined('member', pieces(1, 0))))).toEqual([{ peer: 'member', piece: 0 }])
    const actions = swarm.step(10, { type: 'entered', digest, piece: 0 })
    expect(actions.map(({ type }) => type)).toEqual(['cancel', 'complete'])
  })

  it('is given up only when nothing came from outside for long', () => {
    const swarm = new Swarm('self')
    swarm.step(0, { ...want(2), entering: true })
    swarm.step(0, { type: 'gateway', digest, on: true })
    for (let now = 100; now <= 60_000; now += 100) {
      if (now % 10_000 === 0) swarm.step(now, { type: 'entered', digest })
      expect(of(swarm.step(now, { type: 'tick' }), 'give-up')).toEqual([])
    }
    let given: unknown[] = []
    for (let now = 60_100; now <= 80_000; now += 100) given = of(swarm.step(now, { type: 'tick' }), 'give-up')
    expect(given).toHaveLength(1)
  })

  it('is not looked for elsewhere while it comes, though nobody offers the rest', () => {
    const swarm = new Swarm('self')
    swarm.step(0, { ...want(3), entering: true })
    for (let now = 100; now <= 5_000; now += 100) {
      swarm.step(now, { type: 'entered', digest })
      expect(of(swarm.step(now, { type: 'tick' }), 'find-peers')).toEqual([])
    }
    const actions = [6_000, 6_600].flatMap((now) => swarm.step(now, { type: 'tick' }))
    expect(of(actions, 'find-peers')).toHaveLength(1)
  })

  it('has the pieces of another zone asked by its gateway at once, whoever else is a member', () => {
    const swarm = new Swarm('self')
    swarm.step(0, { ...want(2), entering: true })
    swarm.step(0, joined('member', pieces(2)))
    expect(requests(swarm.step(0, joined('far', pieces(2, 0), 'far')))).toEqual([])
    expect(requests(swarm.step(0, { type: 'gateway', digest, on: true }))).toEqual([{ peer: 'far', piece: 0 }])
  })
})

import { Bitfield, digestOf } from '@layermesh/oci'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { SwarmAction, SwarmEvent } from './events.ts'
import { SWARM_DEFAULTS, type SwarmOptions } from './options.ts'
import { Swarm } from './swarm.ts'

const MIB = 1024 * 1024
const digest = digestOf(Buffer.from('a blob'))
const other = digestOf(Buffer.from('another blob'))

function want(pieces: number, held = new Bitfield(pieces), wanted = digest): SwarmEvent {
  return { type: 'want', digest: wanted, size: pieces * MIB, pieceLength: MIB, held }
}

function joined(peer: string, pieces: Bitfield, scope: 'zone' | 'far' = 'zone', wanted = digest): SwarmEvent {
  return { type: 'peer-joined', digest: wanted, peer, scope, pieces }
}

function requests(actions: readonly SwarmAction[]): { peer: string; piece: number }[] {
  return actions.flatMap((action) => (action.type === 'request' ? [{ peer: action.peer, piece: action.piece }] : []))
}

function of<T extends SwarmAction['type']>(actions: readonly SwarmAction[], type: T) {
  return actions.filter((action): action is Extract<SwarmAction, { type: T }> => action.type === type)
}

describe('choosing pieces and peers', () => {
  it('asks in order and no more of one peer than may be outstanding', () => {
    const swarm = new Swarm({ maxOutstandingBytesPerPeer: 3 * MIB })
    swarm.step(0, want(10))
    expect(requests(swarm.step(0, joined('a', Bitfield.full(10))))).toEqual(
      [0, 1, 2].map((piece) => ({ peer: 'a', piece }))
    )
    expect(requests(swarm.step(1, { type: 'piece-arrived', digest, peer: 'a', piece: 0 }))).toEqual([
      { peer: 'a', piece: 3 }
    ])
  })

  it('asks no more of all peers together than may be outstanding', () => {
    const swarm = new Swarm({ maxOutstandingBytesPerPeer: 3 * MIB, maxOutstandingBytes: 5 * MIB })
    swarm.step(0, want(20))
    const first = requests(swarm.step(0, joined('a', Bitfield.full(20))))
    const second = requests(swarm.step(0, joined('b', Bitfield.full(20))))
    expect([first.length, second.length]).toEqual([3, 2])
  })

  it('brings the piece that a reader waits for before all others, and a window behind it', () => {
    const swarm = new Swarm({ maxOutstandingBytesPerPeer: 3 * MIB, readAheadPieces: 2 })
    swarm.step(0, want(10))
    swarm.step(0, { type: 'awaited', digest, piece: 6 })
    expect(requests(swarm.step(0, joined('a', Bitfield.full(10)))).map(({ piece }) => piece)).toEqual([6, 7, 0])
  })

  it('asks near peers before far ones', () => {
    const swarm = new Swarm({ maxOutstandingBytes: MIB })
    swarm.step(0, joined('ignored before the blob is wanted', Bitfield.full(4)))
    swarm.step(0, want(4))
    const [first] = requests(swarm.step(0, joined('far', Bitfield.full(4), 'far')))
    expect(first).toEqual({ peer: 'far', piece: 0 })
    swarm.step(0, joined('near', Bitfield.full(4)))
    expect(requests(swarm.step(1, { type: 'piece-arrived', digest, peer: 'far', piece: 0 }))).toEqual([
      { peer: 'near', piece: 1 }
    ])
  })

  it('does not ask for pieces that are here or that the peer lacks', () => {
    const held = new Bitfield(4)
    held.set(0)
    const offered = new Bitfield(4)
    offered.set(0)
    offered.set(3)
    const swarm = new Swarm()
    swarm.step(0, want(4, held))
    expect(requests(swarm.step(0, joined('a', offered)))).toEqual([{ peer: 'a', piece: 3 }])
    expect(requests(swarm.step(1, { type: 'peer-has', digest, peer: 'a', pieces: [2] }))).toEqual([
      { peer: 'a', piece: 2 }
    ])
  })

  it('serves the blob that a reader waits for before another', () => {
    const swarm = new Swarm({ maxOutstandingBytesPerPeer: MIB })
    swarm.step(0, want(2, new Bitfield(2), other))
    swarm.step(0, want(2))
    swarm.step(0, { type: 'awaited', digest, piece: 0 })
    swarm.step(0, joined('a', new Bitfield(2), 'zone', other))
    swarm.step(0, joined('a', Bitfield.full(2)))
    swarm.step(0, { type: 'peer-has', digest: other, peer: 'a', pieces: [0, 1] })
    const next = of(swarm.step(1, { type: 'awaited', digest, piece: 1 }), 'request')
    expect(next).toEqual([])
    const after = of(swarm.step(2, { type: 'piece-arrived', digest, peer: 'a', piece: 0 }), 'request')
    expect(after.map((action) => action.digest)).toEqual([digest])
  })
})

describe('several blobs', () => {
  it('of one peer share what it may owe, and none is given up while it waits for its turn', () => {
    const swarm = new Swarm({ maxOutstandingBytesPerPeer: 4 * MIB, giveUpAfterMs: 2_000 })
    const outstanding: { digest: string; piece: number }[] = []
    const arrived = new Map<string, number>()
    const take = (actions: readonly SwarmAction[]) => {
      expect(of(actions, 'give-up')).toEqual([])
      outstanding.push(...of(actions, 'request'))
    }
    for (const wanted of [digest, other]) {
      take(swarm.step(0, want(200, new Bitfield(200), wanted)))
      take(swarm.step(0, joined('a', Bitfield.full(200), 'zone', wanted)))
    }
    for (let now = 50; now <= 5_000; now += 50) {
      const [next] = outstanding.splice(0, 1)
      if (!next) break
      arrived.set(next.digest, (arrived.get(next.digest) ?? 0) + 1)
      const event = {
        type: 'piece-arrived',
        digest: next.digest as typeof digest,
        peer: 'a',
        piece: next.piece
      } as const
      take(swarm.step(now, event))
    }
    expect(Math.abs((arrived.get(digest) ?? 0) - (arrived.get(other) ?? 0))).toBeLessThan(10)
  })

  it('wait without being given up while a reader of another one comes first', () => {
    const swarm = new Swarm({ maxOutstandingBytesPerPeer: MIB, giveUpAfterMs: 2_000 })
    swarm.step(0, want(100))
    swarm.step(0, { type: 'awaited', digest, piece: 99 })
    swarm.step(0, joined('a', Bitfield.full(100)))
    swarm.step(0, want(1, new Bitfield(1), other))
    swarm.step(0, joined('a', Bitfield.full(1), 'zone', other))
    for (let now = 500; now <= 2_000; now += 500) {
      expect(
        of(swarm.step(now, { type: 'progress', peer: 'a' }), 'give-up').filter((action) => action.digest === other)
      ).toEqual([])
    }
  })
})

describe('peers that fail', () => {
  it('bans a peer that sends wrong bytes and asks another for all it owed', () => {
    const swarm = new Swarm()
    swarm.step(0, want(2))
    swarm.step(0, joined('liar', Bitfield.full(2)))
    swarm.step(0, joined('honest', Bitfield.full(2)))
    const actions = swarm.step(1, { type: 'piece-failed', digest, peer: 'liar', piece: 0, reason: 'wrong-bytes' })
    expect(of(actions, 'ban')).toEqual([
      { type: 'ban', peer: 'liar', reason: 'wrong-bytes', forMs: SWARM_DEFAULTS.misbehavedBanMs }
    ])
    expect(requests(actions).map(({ peer }) => peer)).toEqual(['honest', 'honest'])
  })

  it('gives up a peer that owes pieces and sends nothing, and asks another', () => {
    const swarm = new Swarm({ silentAfterMs: 1000 })
    swarm.step(0, want(1))
    swarm.step(0, joined('frozen', Bitfield.full(1)))
    swarm.step(400, joined('well', Bitfield.full(1)))
    expect(of(swarm.step(800, { type: 'tick' }), 'ban')).toEqual([])
    const actions = swarm.step(1000, { type: 'tick' })
    expect(of(actions, 'ban').map(({ peer, reason }) => [peer, reason])).toEqual([['frozen', 'silent']])
    expect(requests(actions)).toEqual([{ peer: 'well', piece: 0 }])
  })

  it('lets a slow peer work as long as bytes come', () => {
    const swarm = new Swarm({ silentAfterMs: 1000 })
    swarm.step(0, want(1))
    swarm.step(0, joined('slow', Bitfield.full(1)))
    for (let now = 400; now <= 4000; now += 400) {
      expect(of(swarm.step(now, { type: 'progress', peer: 'slow' }), 'ban')).toEqual([])
    }
  })

  it('does not blame peers for a time in which this process stood still', () => {
    const swarm = new Swarm({ silentAfterMs: 1000, giveUpAfterMs: 3000 })
    swarm.step(0, want(1))
    swarm.step(0, joined('a', Bitfield.full(1)))
    const actions = swarm.step(60_000, { type: 'tick' })
    expect([...of(actions, 'ban'), ...of(actions, 'give-up')]).toEqual([])
  })

  it('asks a busy peer again only after a pause', () => {
    const swarm = new Swarm({ busyPauseMs: 200 })
    swarm.step(0, want(1))
    swarm.step(0, joined('a', Bitfield.full(1)))
    expect(requests(swarm.step(10, { type: 'piece-failed', digest, peer: 'a', piece: 0, reason: 'busy' }))).toEqual([])
    expect(requests(swarm.step(209, { type: 'tick' }))).toEqual([])
    expect(requests(swarm.step(210, { type: 'tick' }))).toEqual([{ peer: 'a', piece: 0 }])
  })

  it('asks the others for what a lost connection owed', () => {
    const swarm = new Swarm()
    swarm.step(0, want(2))
    swarm.step(0, joined('a', Bitfield.full(2)))
    swarm.step(0, joined('b', Bitfield.full(2)))
    expect(requests(swarm.step(5, { type: 'peer-gone', peer: 'a' }))).toEqual(
      [0, 1].map((piece) => ({ peer: 'b', piece }))
    )
  })
})

describe('ends', () => {
  it('is complete with the last piece, and tells those who are still asked to stop', () => {
    const swarm = new Swarm()
    swarm.step(0, want(1))
    swarm.step(0, joined('a', Bitfield.full(1)))
    expect(of(swarm.step(1, { type: 'piece-arrived', digest, peer: 'a', piece: 0 }), 'complete')).toHaveLength(1)
    expect(swarm.step(2, { type: 'piece-arrived', digest, peer: 'a', piece: 0 })).toEqual([])
  })

  it('is complete at once when all pieces are here already', () => {
    expect(of(new Swarm().step(0, want(3, Bitfield.full(3))), 'complete')).toHaveLength(1)
  })

  it('looks for peers while a piece has no source, one search at a time, with pauses', () => {
    const swarm = new Swarm({ searchPauseMs: 1000 })
    expect(of(swarm.step(0, want(2)), 'find-peers')).toHaveLength(1)
    expect(of(swarm.step(500, { type: 'tick' }), 'find-peers')).toHaveLength(0)
    swarm.step(600, { type: 'search-ended', digest })
    expect(of(swarm.step(700, { type: 'tick' }), 'find-peers')).toHaveLength(0)
    expect(of(swarm.step(1000, { type: 'tick' }), 'find-peers')).toHaveLength(1)
  })

  it('gives up when nobody brings anything for too long', () => {
    const swarm = new Swarm({ giveUpAfterMs: 2000 })
    swarm.step(0, want(1))
    swarm.step(1000, { type: 'tick' })
    expect(of(swarm.step(1999, { type: 'tick' }), 'give-up')).toHaveLength(0)
    expect(of(swarm.step(2000, { type: 'tick' }), 'give-up')).toHaveLength(1)
    expect(swarm.step(2001, { type: 'tick' })).toEqual([])
  })
})

describe('random worlds', () => {
  it('completes whenever an honest peer stays, exceeds no bound and asks nobody twice at once', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 24 }),
        fc.array(fc.record({ honest: fc.boolean(), loses: fc.boolean() }), { maxLength: 5 }),
        fc.infiniteStream(fc.nat(5)),
        (pieces, peers, choices) => {
          const options: Partial<SwarmOptions> = { maxOutstandingBytesPerPeer: 4 * MIB, maxOutstandingBytes: 6 * MIB }
          const world = new World(new Swarm(options), pieces)
          world.tell(want(pieces))
          world.tell(joined('good', Bitfield.full(pieces)))
          peers.forEach((_, index) => {
            world.tell(joined(`p${index}`, Bitfield.full(pieces)))
          })
          for (let turn = 0; turn < 500 && !world.done; turn++) {
            world.answer(
              choices.next().value ?? 0,
              (peer) => peer === 'good' || (peers[Number(peer.slice(1))]?.honest ?? false),
              peers.some((p) => p.loses)
            )
          }
          expect(world.done).toBe(true)
          expect(world.mostOutstanding).toBeLessThanOrEqual(6)
        }
      )
    )
  })
})

/** Carries out what a swarm decides, one outstanding request at a time, in an order that the test chooses. */
class World {
  readonly #swarm: Swarm
  readonly #pieces: number
  readonly #outstanding: { peer: string; piece: number }[] = []
  readonly #held = new Set<number>()
  #now = 0
  done = false
  mostOutstanding = 0

  constructor(swarm: Swarm, pieces: number) {
    this.#swarm = swarm
    this.#pieces = pieces
  }

  tell(event: SwarmEvent): void {
    this.#now += 10
    for (const action of this.#swarm.step(this.#now, event)) this.perform(action)
    this.mostOutstanding = Math.max(this.mostOutstanding, this.#outstanding.length)
  }

  answer(choice: number, honest: (peer: string) => boolean, loses: boolean): void {
    const [request] = this.#outstanding.splice(choice % Math.max(this.#outstanding.length, 1), 1)
    if (!request) return this.tell({ type: 'tick' })
    if (honest(request.peer)) {
      this.#held.add(request.piece)
      return this.tell({ type: 'piece-arrived', digest, ...request })
    }
    this.tell({ type: 'piece-failed', digest, ...request, reason: loses ? 'lost' : 'wrong-bytes' })
  }

  private perform(action: SwarmAction): void {
    if (action.type === 'request') {
      expect(this.#held.has(action.piece)).toBe(false)
      expect(this.#outstanding.some(({ piece }) => piece === action.piece)).toBe(false)
      this.#outstanding.push({ peer: action.peer, piece: action.piece })
    } else if (action.type === 'cancel') {
      const index = this.#outstanding.findIndex(({ peer, piece }) => peer === action.peer && piece === action.piece)
      if (index >= 0) this.#outstanding.splice(index, 1)
    } else if (action.type === 'complete') {
      expect(this.#held.size).toBe(this.#pieces)
      this.done = true
    }
  }
}

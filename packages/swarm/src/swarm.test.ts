import { Bitfield } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import type { SwarmAction } from './events.ts'
import { SWARM_DEFAULTS } from './options.ts'
import { Swarm } from './swarm.ts'
import { arrived, digest, has, joined, MIB, of, other, pieces, requests, want } from './testing/events.ts'

const piecesOf = (actions: readonly SwarmAction[]) => requests(actions).map(({ piece }) => piece)

describe('choosing pieces and peers', () => {
  it('asks a lone origin in order, and at first no more than a little ahead', () => {
    const swarm = new Swarm('self', { firstAheadBytes: 3 * MIB })
    swarm.step(0, want(10))
    expect(piecesOf(swarm.step(0, joined('a', Bitfield.full(10))))).toEqual([0, 1, 2])
    expect(piecesOf(swarm.step(1, arrived('a', 0)))).toEqual([3])
  })

  it('asks a peer for as much as it sends in a while, and never for more than the bound', () => {
    const swarm = new Swarm('self', { firstAheadBytes: MIB, aheadMs: 500, maxAheadBytesPerPeer: 4 * MIB })
    swarm.step(0, want(100))
    swarm.step(0, joined('quick', Bitfield.full(100)))
    const ahead: number[] = []
    const asked = [0]
    for (let now = 10; now <= 1000; now += 10) {
      const [piece = 0] = asked.splice(0, 1)
      asked.push(...piecesOf(swarm.step(now, { type: 'progress', peer: 'quick', bytes: MIB })))
      asked.push(...piecesOf(swarm.step(now, arrived('quick', piece))))
      ahead.push(asked.length)
    }
    // 1 MiB each 10 ms would be 50 MiB in half a second.
    expect(Math.max(...ahead)).toBe(4)
  })

  it('asks for the next piece before the last one is whole', () => {
    const swarm = new Swarm('self', { firstAheadBytes: MIB })
    swarm.step(0, want(10))
    swarm.step(0, joined('a', Bitfield.full(10)))
    expect(piecesOf(swarm.step(5, { type: 'progress', peer: 'a', bytes: MIB / 2 }))).toEqual([1])
  })

  it('lets no more be owed by all peers together than the bound', () => {
    const swarm = new Swarm('self', { maxOwedBytes: 5 * MIB, firstAheadBytes: 3 * MIB })
    swarm.step(0, want(20))
    const first = requests(swarm.step(0, joined('a', Bitfield.full(20))))
    const second = requests(swarm.step(0, joined('b', Bitfield.full(20))))
    expect([first.length, second.length, swarm.owedBytes]).toEqual([3, 2, 5 * MIB])
  })

  it('asks members for the rarest piece first', () => {
    const swarm = new Swarm('self', { maxOwedBytes: MIB })
    swarm.step(0, want(4))
    swarm.step(0, joined('a', pieces(4, 0)))
    for (const peer of ['b', 'c']) swarm.step(0, joined(peer, pieces(4, 1, 2)))
    swarm.step(0, has('a', 1, 2, 3))
    swarm.step(0, has('b', 0))
    // 3 is at one peer, 1 and 2 at three.
    expect(piecesOf(swarm.step(1, arrived('a', 0)))).toEqual([3])
  })

  it('begins at another place than others when all pieces are as rare', () => {
    const firsts = Array.from({ length: 20 }, (_, index) => {
      const swarm = new Swarm(`node ${index}`, { firstAheadBytes: MIB })
      swarm.step(0, want(100))
      return piecesOf(swarm.step(0, joined('member', pieces(100, ...Array(99).keys()))))[0]
    })
    expect(new Set(firsts).size).toBeGreaterThan(10)
  })

  it('brings what a reader waits for before all others, and goes on with what follows once it has come', () => {
    const swarm = new Swarm('self', { firstAheadBytes: 2 * MIB, readAheadPieces: 3 })
    swarm.step(0, want(100))
    swarm.step(0, { type: 'awaited', digest, piece: 60 })
    expect(piecesOf(swarm.step(0, joined('a', Bitfield.full(100))))).toEqual([60, 61])
    expect(piecesOf(swarm.step(1, arrived('a', 60)))).toEqual([62])
    swarm.step(2, { type: 'awaited', digest, piece: 61 })
    expect(piecesOf(swarm.step(3, arrived('a', 61)))).toEqual([63])
  })

  it('serves several readers of one blob, each with what it comes to next', () => {
    const swarm = new Swarm('self', { firstAheadBytes: 8 * MIB, readAheadPieces: 2 })
    swarm.step(0, want(100))
    for (const piece of [50, 20, 80]) swarm.step(0, { type: 'awaited', digest, piece })
    const asked = piecesOf(swarm.step(0, joined('a', Bitfield.full(100))))
    expect(asked.slice(0, 6).sort()).toEqual([20, 21, 50, 51, 80, 81])
  })

  it('serves readers that stand one right behind the other, as of a fetch by many ranges, before all else', () => {
    const swarm = new Swarm('self', { firstAheadBytes: 12 * MIB, readAheadPieces: 8 })
    swarm.step(0, want(100))
    const places = Array.from({ length: 12 }, (_, index) => 50 + index)
    for (const piece of places) swarm.step(0, { type: 'awaited', digest, piece })
    expect(piecesOf(swarm.step(0, joined('a', Bitfield.full(100))))).toEqual(places)
  })

  it('does not ask for pieces that are here or that the peer lacks', () => {
    const swarm = new Swarm('self')
    swarm.step(0, want(4, pieces(4, 0)))
    expect(requests(swarm.step(0, joined('a', pieces(4, 0, 3))))).toEqual([{ peer: 'a', piece: 3 }])
    expect(requests(swarm.step(1, has('a', 2)))).toEqual([{ peer: 'a', piece: 2 }])
  })

  it('keeps to the rate that it may take in', () => {
    const swarm = new Swarm('self', { bytesPerSecond: MIB, firstAheadBytes: 100 * MIB })
    swarm.step(0, want(100))
    let asked = requests(swarm.step(0, joined('a', Bitfield.full(100)))).length
    for (let now = 100; now <= 10_000; now += 100) {
      asked += requests(swarm.step(now, { type: 'progress', peer: 'a', bytes: 0 })).length
      asked += requests(swarm.step(now, { type: 'tick' })).length
    }
    expect(asked).toBeGreaterThanOrEqual(10)
    expect(asked).toBeLessThanOrEqual(11)
  })
})

describe('several blobs', () => {
  it('of one peer share what it may owe', () => {
    const swarm = new Swarm('self', { firstAheadBytes: 4 * MIB })
    swarm.step(0, want(50))
    swarm.step(0, want(50, new Bitfield(50), other))
    const asked = [
      ...of(swarm.step(0, joined('a', Bitfield.full(50))), 'request'),
      ...of(swarm.step(0, joined('a', Bitfield.full(50), 'zone', other)), 'request')
    ]
    const came = new Map<string, number>()
    for (let now = 1; now <= 40; now++) {
      const [next] = asked.splice(0, 1)
      if (!next) break
      came.set(next.digest, (came.get(next.digest) ?? 0) + 1)
      asked.push(...of(swarm.step(now, arrived('a', next.piece, next.digest)), 'request'))
    }
    expect(Math.abs((came.get(digest) ?? 0) - (came.get(other) ?? 0))).toBeLessThan(6)
  })

  it('with a reader come first, and those without are not given up meanwhile', () => {
    const swarm = new Swarm('self', { firstAheadBytes: MIB, giveUpAfterMs: 2_000 })
    swarm.step(0, want(100))
    swarm.step(0, { type: 'awaited', digest, piece: 99 })
    swarm.step(0, joined('a', Bitfield.full(100)))
    swarm.step(0, want(1, new Bitfield(1), other))
    swarm.step(0, joined('a', Bitfield.full(1), 'zone', other))
    for (let now = 100; now <= 4_000; now += 100) {
      swarm.step(now, { type: 'progress', peer: 'a', bytes: 1 })
      const actions = swarm.step(now, { type: 'tick' })
      expect([...of(actions, 'give-up'), ...of(actions, 'request')]).toEqual([])
    }
  })
})

describe('peers that fail', () => {
  it('bans a peer that sends wrong bytes and asks another for all it owed', () => {
    const swarm = new Swarm('self')
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
    const swarm = new Swarm('self', { silentAfterMs: 1000, hedgeAfterMs: 10_000 })
    swarm.step(0, want(1))
    swarm.step(0, joined('frozen', Bitfield.full(1)))
    swarm.step(400, joined('well', Bitfield.full(1)))
    for (const now of [400, 800]) expect(of(swarm.step(now, { type: 'tick' }), 'ban')).toEqual([])
    const actions = swarm.step(1000, { type: 'tick' })
    expect(of(actions, 'ban').map(({ peer, reason }) => [peer, reason])).toEqual([['frozen', 'silent']])
    expect(requests(actions)).toEqual([{ peer: 'well', piece: 0 }])
  })

  it('lets a slow peer work as long as bytes come', () => {
    const swarm = new Swarm('self', { silentAfterMs: 1000, giveUpAfterMs: 2000 })
    swarm.step(0, want(1))
    swarm.step(0, joined('slow', Bitfield.full(1)))
    for (let now = 400; now <= 8000; now += 400) {
      swarm.step(now, { type: 'progress', peer: 'slow', bytes: 100 })
      const actions = swarm.step(now, { type: 'tick' })
      expect([...of(actions, 'ban'), ...of(actions, 'give-up')]).toEqual([])
    }
  })

  it('asks a second peer for a last piece that comes by drops, and stops the slow one when it has come', () => {
    const swarm = new Swarm('self', { hedgeAfterMs: 1000 })
    swarm.step(0, want(1))
    swarm.step(0, joined('dripping', Bitfield.full(1)))
    swarm.step(0, joined('well', Bitfield.full(1)))
    const asked: { peer: string; piece: number }[] = []
    for (let now = 100; now <= 2000; now += 100) {
      asked.push(...requests(swarm.step(now, { type: 'progress', peer: 'dripping', bytes: 100 })))
      asked.push(...requests(swarm.step(now, { type: 'tick' })))
    }
    expect(asked).toEqual([{ peer: 'well', piece: 0 }])
    expect(of(swarm.step(2100, arrived('well', 0)), 'cancel').map(({ peer }) => peer)).toEqual(['dripping'])
    expect(swarm.owedBytes).toBe(0)
  })

  it('gives up a peer that stays silent also when another has brought what it owed, and not one that answers', () => {
    for (const answers of [false, true]) {
      const swarm = new Swarm('self', { hedgeAfterMs: 1000, silentAfterMs: 5000 })
      swarm.step(0, want(1))
      swarm.step(0, joined('frozen', Bitfield.full(1)))
      swarm.step(0, joined('well', Bitfield.full(1)))
      const banned: string[] = []
      for (let now = 100; now <= 6000; now += 100) {
        const actions = swarm.step(now, { type: 'tick' })
        for (const { peer } of requests(actions)) swarm.step(now + 50, arrived(peer, 0))
        if (answers && now === 2000) swarm.step(now, { type: 'progress', peer: 'frozen', bytes: 0 })
        banned.push(...of(actions, 'ban').map(({ peer }) => peer))
        if (now === 1500) expect(swarm.idle).toBe(false)
      }
      expect(banned).toEqual(answers ? [] : ['frozen'])
      expect(swarm.idle).toBe(true)
    }
  })

  it('does not ask twice for a piece that comes as quickly as it can', () => {
    const swarm = new Swarm('self', { hedgeAfterMs: 500, firstAheadBytes: 8 * MIB })
    swarm.step(0, want(8))
    swarm.step(0, joined('a', Bitfield.full(8)))
    swarm.step(0, joined('b', Bitfield.full(8)))
    for (let now = 100; now < 800; now += 100) {
      swarm.step(now, { type: 'progress', peer: 'a', bytes: MIB })
      expect(requests(swarm.step(now, { type: 'tick' }))).toEqual([])
    }
  })

  it('does not blame peers for a time in which this process stood still', () => {
    const swarm = new Swarm('self', { silentAfterMs: 1000, giveUpAfterMs: 3000 })
    swarm.step(0, want(1))
    swarm.step(0, joined('a', Bitfield.full(1)))
    swarm.step(100, { type: 'tick' })
    const actions = swarm.step(60_000, { type: 'tick' })
    expect([...of(actions, 'ban'), ...of(actions, 'give-up')]).toEqual([])
  })

  it('asks a busy peer again only after a pause', () => {
    const swarm = new Swarm('self', { busyPauseMs: 200 })
    swarm.step(0, want(1))
    swarm.step(0, joined('a', Bitfield.full(1)))
    expect(requests(swarm.step(10, { type: 'piece-failed', digest, peer: 'a', piece: 0, reason: 'busy' }))).toEqual([])
    expect(requests(swarm.step(209, { type: 'tick' }))).toEqual([])
    expect(requests(swarm.step(210, { type: 'tick' }))).toEqual([{ peer: 'a', piece: 0 }])
  })

  it('asks the others for what a lost connection owed', () => {
    const swarm = new Swarm('self')
    swarm.step(0, want(2))
    swarm.step(0, joined('a', Bitfield.full(2)))
    swarm.step(0, joined('b', Bitfield.full(2)))
    expect(requests(swarm.step(5, { type: 'peer-gone', peer: 'a' }))).toEqual(
      [0, 1].map((piece) => ({ peer: 'b', piece }))
    )
  })
})

describe('ends', () => {
  it('is complete with the last piece', () => {
    const swarm = new Swarm('self')
    swarm.step(0, want(1))
    swarm.step(0, joined('a', Bitfield.full(1)))
    expect(of(swarm.step(1, arrived('a', 0)), 'complete')).toHaveLength(1)
    expect(swarm.step(2, arrived('a', 0))).toEqual([])
  })

  it('is complete at once when all pieces are here already', () => {
    expect(of(new Swarm('self').step(0, want(3, Bitfield.full(3))), 'complete')).toHaveLength(1)
  })

  it('looks for peers while a piece has no source, one search at a time, with pauses that grow', () => {
    const swarm = new Swarm('self', { searchPauseMs: 1000, giveUpAfterMs: 60_000 })
    swarm.step(0, want(2))
    const searchedAt: number[] = []
    for (let now = 0; now <= 8000; now += 100) {
      if (of(swarm.step(now, { type: 'tick' }), 'find-peers').length === 0) continue
      searchedAt.push(now)
      expect(of(swarm.step(now + 50, { type: 'tick' }), 'find-peers')).toEqual([])
      swarm.step(now + 60, { type: 'search-ended', digest })
    }
    expect(searchedAt).toEqual([0, 1000, 3000, 7000])
  })

  it('gives up when nobody brings anything for too long', () => {
    const swarm = new Swarm('self', { giveUpAfterMs: 2000 })
    swarm.step(0, want(1))
    for (let now = 0; now < 2000; now += 100) expect(of(swarm.step(now, { type: 'tick' }), 'give-up')).toHaveLength(0)
    expect(of(swarm.step(2000, { type: 'tick' }), 'give-up')).toHaveLength(1)
    expect(swarm.step(2001, { type: 'tick' })).toEqual([])
  })
})

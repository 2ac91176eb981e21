import { Bitfield } from '@layermesh/oci'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { PeerScope, PieceFailure, SwarmAction, SwarmEvent } from './events.ts'
import { Swarm } from './swarm.ts'
import { digest, joined, MIB, want } from './testing/events.ts'

const MAX_OWED = 6 * MIB

interface PeerPlan {
  readonly scope: PeerScope
  readonly failure: PieceFailure | 'none' | 'silent'
  /** Whether it has all pieces from the beginning. */
  readonly whole: boolean
}

const plan: fc.Arbitrary<PeerPlan> = fc.record({
  scope: fc.constantFrom('zone', 'far'),
  failure: fc.constantFrom('none', 'silent', 'wrong-bytes', 'malformed', 'not-held', 'busy', 'given', 'lost'),
  whole: fc.boolean()
})

it('completes whenever an honest peer stays, owes no more than it may and asks nobody twice at once', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 24 }),
      fc.array(plan, { maxLength: 6 }),
      fc.infiniteStream(fc.nat(1000)),
      (pieces, plans, choices) => {
        const world = new World(pieces, plans)
        for (let turn = 0; turn < 20_000 && !world.done; turn++) world.turn(choices.next().value ?? 0)
        expect(world.done).toBe(true)
        expect(world.swarm.owedBytes).toBe(0)
      }
    )
  )
})

/** Carries out what a swarm decides, one request at a time, in an order that the test chooses; peers fail by plan. */
class World {
  readonly swarm = new Swarm('self', { maxOwedBytes: MAX_OWED, giveUpAfterMs: 1e9, silentAfterMs: 3_000 })
  readonly #pieces: number
  readonly #plans = new Map<string, PeerPlan>()
  readonly #asked: { peer: string; piece: number }[] = []
  readonly #held = new Set<number>()
  #now = 0
  done = false

  constructor(pieces: number, plans: readonly PeerPlan[]) {
    this.#pieces = pieces
    this.tell(want(pieces))
    const honest: PeerPlan = { scope: 'zone', failure: 'none', whole: true }
    for (const [index, peerPlan] of [honest, ...plans].entries()) {
      const peer = `peer ${index}`
      this.#plans.set(peer, peerPlan)
      this.tell(joined(peer, peerPlan.whole ? Bitfield.full(pieces) : new Bitfield(pieces), peerPlan.scope))
    }
  }

  turn(choice: number): void {
    this.#now += choice % 50
    const answerable = this.#asked.filter(({ peer }) => this.#plans.get(peer)?.failure !== 'silent')
    const request = answerable[choice % Math.max(1, answerable.length)]
    if (!request || choice % 7 === 0) return this.somethingElse(choice)
    this.#asked.splice(this.#asked.indexOf(request), 1)
    const { failure = 'none' } = this.#plans.get(request.peer) ?? {}
    if (failure === 'none') {
      this.#held.add(request.piece)
      this.tell({ type: 'progress', peer: request.peer, bytes: MIB })
      this.tell({ type: 'piece-arrived', digest, ...request })
    } else if (failure !== 'silent') this.tell({ type: 'piece-failed', digest, ...request, reason: failure })
  }

  /** Time passes, somebody gets a piece or says that it will, a reader comes to a piece. */
  private somethingElse(choice: number): void {
    const piece = choice % this.#pieces
    const peer = `peer ${choice % this.#plans.size}`
    if (choice % 3 === 0) this.tell({ type: 'peer-has', digest, peer, pieces: [piece] })
    if (choice % 5 === 0) this.tell({ type: 'peer-fetching', digest, peer, pieces: [piece] })
    if (choice % 11 === 0) this.tell({ type: 'awaited', digest, piece })
    this.#now += 100
    this.tell({ type: 'tick' })
  }

  private tell(event: SwarmEvent): void {
    for (const action of this.swarm.step(this.#now, event)) this.perform(action)
    expect(this.swarm.owedBytes).toBeLessThanOrEqual(MAX_OWED)
  }

  private perform(action: SwarmAction): void {
    if (action.type === 'request') {
      expect(this.#held.has(action.piece)).toBe(false)
      const others = this.#asked.filter(({ piece }) => piece === action.piece)
      expect(others.length).toBeLessThan(2)
      expect(others.map(({ peer }) => peer)).not.toContain(action.peer)
      this.#asked.push({ peer: action.peer, piece: action.piece })
    } else if (action.type === 'cancel') {
      const index = this.#asked.findIndex(({ peer, piece }) => peer === action.peer && piece === action.piece)
      if (index >= 0) this.#asked.splice(index, 1)
    } else if (action.type === 'ban') {
      for (let index = this.#asked.length - 1; index >= 0; index--) {
        if (this.#asked[index]?.peer === action.peer) this.#asked.splice(index, 1)
      }
    } else if (action.type === 'find-peers') this.tell({ type: 'search-ended', digest })
    else if (action.type === 'complete') {
      expect(this.#held.size).toBe(this.#pieces)
      this.done = true
    }
  }
}

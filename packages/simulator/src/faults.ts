import type { Random } from './random.ts'
import type { Scenario } from './scenario.ts'

export type FaultKind = 'crash' | 'restart' | 'freeze' | 'thaw'

export interface Fault<N> {
  readonly kind: FaultKind
  readonly node: N
  readonly atMs: number
}

export interface Faults<N> {
  readonly events: readonly Fault<N>[]
  /** Nodes that are not to be waited for: they crash and never come back, or stand still for ever. */
  readonly lost: readonly N[]
}

/**
 * Which nodes fail, how and when: each at most once, in one way.
 * @param arrivals when each node that may fail begins
 */
export function planFaults<N>(scenario: Scenario, arrivals: ReadonlyMap<N, number>, random: Random): Faults<N> {
  const events: Fault<N>[] = []
  const lost: N[] = []
  const nodes = random.shuffle([...arrivals.keys()])

  const plan = (share: number, begin: FaultKind, end: FaultKind, lastsMs: number) => {
    for (const node of nodes.splice(0, Math.round(share * arrivals.size))) {
      const atMs = (arrivals.get(node) ?? 0) + random.next() * scenario.faultSpanMs
      events.push({ kind: begin, node, atMs })
      if (lastsMs > 0) events.push({ kind: end, node, atMs: atMs + lastsMs })
      else lost.push(node)
    }
  }
  plan(scenario.crashShare, 'crash', 'restart', scenario.crashReturnMs)
  plan(scenario.freezeShare, 'freeze', 'thaw', scenario.freezeMs)
  return { events, lost }
}

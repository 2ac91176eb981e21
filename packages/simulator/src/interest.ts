import type { Peer } from './peer.ts'
import type { Random } from './random.ts'

interface Entry {
  readonly peer: Peer
  /** How often it was named to others. */
  named: number
}

/** How many are looked at for each one that is named. */
const LOOKS = 4

/**
 * Who asked a node for a blob, so that it can tell them of each other. Those who were named least come first, among some
 * looked at by chance: then everybody has about as many neighbours, and the graph is as good as a random regular one.
 */
export class Interest {
  readonly #zones = new Map<number, Entry[]>()

  add(peer: Peer): void {
    const entries = this.#zones.get(peer.zone) ?? []
    this.#zones.set(peer.zone, entries)
    if (!entries.some((entry) => entry.peer === peer)) entries.push({ peer, named: 0 })
  }

  delete(peer: Peer): void {
    const entries = this.#zones.get(peer.zone)
    const index = entries?.findIndex((entry) => entry.peer === peer) ?? -1
    if (index >= 0) entries?.splice(index, 1)
  }

  /** Some peers for one who asks: so many of its own zone, and so many of others. */
  names(asker: Peer, near: number, far: number, random: Random): Peer[] {
    const own = this.#zones.get(asker.zone) ?? []
    const others = [...this.#zones].flatMap(([zone, entries]) => (zone === asker.zone ? [] : entries))
    // In a small swarm everybody may know everybody. In a large one each pair meets when either of them is told of the other.
    const wanted = own.length <= near + 1 ? near : Math.ceil(near / 2)
    return [...pick(own, asker, wanted, random), ...pick(others, asker, far, random)]
  }
}

function pick(entries: readonly Entry[], asker: Peer, count: number, random: Random): Peer[] {
  if (count === 0) return []
  const looked = random.sample(entries, count * LOOKS).filter(({ peer }) => peer !== asker)
  const chosen = looked.sort((one, other) => one.named - other.named).slice(0, count)
  for (const entry of chosen) entry.named++
  return chosen.map(({ peer }) => peer)
}

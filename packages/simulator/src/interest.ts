import type { Peer } from './peer.ts'
import type { Random } from './random.ts'
import type { Naming } from './scenario.ts'

interface Entry {
  readonly peer: Peer
  /** How often it was named to others. */
  named: number
}

export interface NamingOptions {
  readonly naming: Naming
  /** Peers of its own zone that a node shares a blob with, on average. */
  readonly neighbours: number
  readonly farNeighbours: number
}

/** How many are looked at for each one that is named. */
const LOOKS = 4

/** Who asked a node for a blob, so that it can tell them of each other. */
export class Interest {
  readonly #zones = new Map<number, Entry[]>()
  /** In the order in which they asked. */
  readonly #all = new Set<Peer>()

  add(peer: Peer): void {
    const entries = this.#zones.get(peer.zone) ?? []
    this.#zones.set(peer.zone, entries)
    if (!this.#all.has(peer)) entries.push({ peer, named: 0 })
    this.#all.delete(peer)
    this.#all.add(peer)
  }

  delete(peer: Peer): void {
    if (!this.#all.delete(peer)) return
    const entries = this.#zones.get(peer.zone)
    const index = entries?.findIndex((entry) => entry.peer === peer) ?? -1
    if (index >= 0) entries?.splice(index, 1)
  }

  /** Whether others of a peer's zone have asked. */
  hasOthersOf(peer: Peer): boolean {
    return this.#zones.get(peer.zone)?.some((entry) => entry.peer !== peer) ?? false
  }

  /** Some peers for one who asks. */
  names(asker: Peer, { naming, neighbours, farNeighbours }: NamingOptions, random: Random): Peer[] {
    if (naming === 'latest') return [...this.#all].filter((peer) => peer !== asker).slice(-neighbours)
    const own = this.#zones.get(asker.zone) ?? []
    // In a small swarm everybody may know everybody. In a large one each pair meets when either of them is told of the other.
    const near = own.length <= neighbours + 1 ? neighbours : Math.ceil(neighbours / 2)
    return [...leastNamed(own, asker, near, random), ...this.sameFew(asker.zone, farNeighbours)]
  }

  private sameFew(zone: number, count: number): Peer[] {
    const others = [...this.#zones].flatMap(([other, entries]) => (other === zone ? [] : entries))
    return others
      .map(({ peer }) => peer)
      .sort((one, other) => placeFor(zone, one) - placeFor(zone, other))
      .slice(0, count)
  }
}

function leastNamed(entries: readonly Entry[], asker: Peer, count: number, random: Random): Peer[] {
  const looked = random.sample(entries, count * LOOKS).filter(({ peer }) => peer !== asker)
  const chosen = looked.sort((one, other) => one.named - other.named).slice(0, count)
  for (const entry of chosen) entry.named++
  return chosen.map(({ peer }) => peer)
}

/** An order of peers that is the same for all of one zone. */
function placeFor(zone: number, { index }: Peer): number {
  return Math.imul(Math.imul(index + 1, 0x9e3779b1) ^ (zone + 1), 0x85ebca6b) >>> 0
}

import type { Digest, Repository } from '@layermesh/oci'
import { LRUCache } from 'lru-cache'

/** An image that every connected node of a zone has. */
export interface Distribution {
  readonly repository: Repository
  readonly digest: Digest
  readonly zone: string
  /** How many nodes that are. */
  readonly nodes: number
}

export interface ZoneWatchComponents {
  /** The peers that are connected. */
  peers(): readonly { readonly peerId: string; readonly zone: string; readonly role: 'seed' | 'node' }[]
  /** Whether a manifest is in a repository, by what this seed knows. */
  knows(repository: Repository, digest: Digest): Promise<boolean>
  onDistributed(distribution: Distribution): void
}

/** Images of which it is remembered who has them. */
const MAX_IMAGES = 1_024

interface Holders {
  readonly peers: Set<string>
  readonly zonesTold: Set<string>
}

/**
 * What a seed hears of who has which image, and when that is every node of a zone. What it heard is in memory only: after
 * a restart it tells of what it hears from then on.
 */
export class ZoneWatch {
  readonly #components: ZoneWatchComponents
  readonly #images: LRUCache<string, Holders>

  constructor(components: ZoneWatchComponents, { maxImages = MAX_IMAGES }: { readonly maxImages?: number } = {}) {
    this.#components = components
    this.#images = new LRUCache({ max: maxImages })
  }

  /** A peer says that it has all of an image. */
  async complete(from: string, repository: Repository, digest: Digest): Promise<void> {
    const { peers, knows, onDistributed } = this.#components
    const zone = peers().find(({ peerId }) => peerId === from)?.zone
    if (zone === undefined || !(await knows(repository, digest))) return
    const nodes = peers().filter((peer) => peer.role === 'node')
    const image = this.#imageOf(`${repository}@${digest}`)
    image.peers.add(from)
    // Whoever is connected no more is not waited for and need not be remembered.
    const connected = new Set(nodes.map(({ peerId }) => peerId))
    for (const peer of image.peers) if (!connected.has(peer)) image.peers.delete(peer)
    const members = nodes.filter((peer) => peer.zone === zone)
    if (image.zonesTold.has(zone) || !members.every(({ peerId }) => image.peers.has(peerId))) return
    if (members.length === 0) return
    image.zonesTold.add(zone)
    onDistributed({ repository, digest, zone, nodes: members.length })
  }

  #imageOf(key: string): Holders {
    const known = this.#images.get(key) ?? { peers: new Set(), zonesTold: new Set() }
    this.#images.set(key, known)
    return known
  }
}

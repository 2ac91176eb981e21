import type { LoadedNode } from './loaded-node.ts'

const METRIC = 'layermesh_peers_banned_total'
/** Of a peer that fell silent. */
const BAN_MS = 30_000
/** Until they have found each other again. */
const REJOIN_MS = 65_000

/**
 * Knows whether nodes have shut each other out not long ago: on a busy machine one may be silent for longer than others
 * wait, and can neither take nor give for a while. That is no failure of its store.
 */
export class BanWatch {
  readonly #nodes: readonly LoadedNode[]
  readonly #counts = new Map<LoadedNode, number>()
  #lastAt = Number.NEGATIVE_INFINITY

  constructor(nodes: readonly LoadedNode[]) {
    this.#nodes = nodes
  }

  /** Looks at all nodes anew. */
  async isApart(): Promise<boolean> {
    for (const at of this.#nodes) {
      const count = await at.node.metric(METRIC).catch(() => 0)
      // It begins anew with each life of the node.
      if (count > (this.#counts.get(at) ?? 0)) this.#lastAt = performance.now()
      this.#counts.set(at, count)
    }
    return performance.now() < this.#lastAt + BAN_MS + REJOIN_MS
  }
}

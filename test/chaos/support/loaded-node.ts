import type { MeshNode } from '../../support/node.ts'

/** A node that may be killed and started again meanwhile. */
export interface LoadedNode {
  readonly node: MeshNode
  readonly isSeed: boolean
  /** Grows when it is killed, and when it is back: odd while it is away. */
  lives: number
}

import { setTimeout as sleep } from 'node:timers/promises'
import { MeshNode } from '../support/node.ts'
import type { Sandbox } from '../support/sandbox.ts'

export interface BigMesh {
  readonly seed: MeshNode
  readonly nodes: readonly MeshNode[]
}

const START_TIMEOUT_MS = 180_000
/** Starting takes CPU; more at a time would only make each slower. */
const STARTS_AT_ONCE = 4
/** Time for nodes to meet, and for what they do once after a start. */
const SETTLE_MS = 30_000

/** A seed and nodes, `count` in all, each a process of its own on loopback, some time after the last has started. */
export async function startBigMesh(sandbox: Sandbox, count: number, say: (text: string) => void): Promise<BigMesh> {
  say(`starting ${count} nodes`)
  const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  const nodes: MeshNode[] = []
  while (nodes.length < count - 1) {
    const names = Array.from({ length: Math.min(STARTS_AT_ONCE, count - 1 - nodes.length) }, (_, i) => nodes.length + i)
    const start = (i: number) =>
      MeshNode.start(sandbox, { name: `node${i}`, join: [seed], seed, startTimeoutMs: START_TIMEOUT_MS })
    nodes.push(...(await Promise.all(names.map(start))))
  }
  say('letting them settle')
  await sleep(SETTLE_MS)
  return { seed, nodes }
}

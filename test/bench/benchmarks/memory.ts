import { MeshNode } from '../../support/node.ts'
import type { Sandbox } from '../../support/sandbox.ts'
import type { Benchmark, Options, Report } from '../benchmark.ts'
import { download } from '../clients/curl.ts'
import { blobUrl, type Layer, makeLayer, pushLayer } from '../clients/layer.ts'
import { type MemoryUse, withMemory } from '../measure/memory.ts'
import { GOALS, reached } from '../report/goals.ts'
import { median } from '../report/statistics.ts'
import { formatSeconds, GIB, MIB } from '../report/units.ts'
import { withSandbox } from '../sandboxes.ts'

const PULLS = 8
const CASES = [
  { title: '8 layers through one node, one client each', layers: PULLS },
  { title: 'one layer through one node, 8 clients', layers: 1 }
] as const

interface Run {
  readonly title: string
  readonly seconds: number
  readonly seed: MemoryUse
  readonly node: MemoryUse
}

/** What is resident of a seed and of a node while eight clients pull through the node what only the seed has. */
export const memory: Benchmark = {
  name: 'memory',
  summary: 'resident memory of a node and its seed during 8 concurrent pulls',
  needsNetwork: false,
  defaults: { sizeBytes: GIB, runs: 1 },
  async measure(options, say) {
    const runs: Run[] = []
    for (let i = 1; i <= options.runs; i++) {
      for (const { title, layers } of CASES) {
        say(`run ${i}: ${title}`)
        runs.push(await withSandbox((sandbox) => measure(sandbox, options, title, layers)))
      }
    }
    return report(runs)
  }
}

async function measure(sandbox: Sandbox, { sizeBytes }: Options, title: string, count: number): Promise<Run> {
  const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  const node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed })
  const layers: Layer[] = []
  for (let i = 1; i <= count; i++) {
    const layer = makeLayer(`memory-${i}`, sizeBytes)
    await pushLayer(seed.registryUrl, layer)
    layers.push(layer)
  }
  const begun = performance.now()
  const { memory } = await withMemory([seed.process.pid, node.process.pid], () =>
    Promise.all(Array.from({ length: PULLS }, (_, i) => download(urlOf(node, layers, i))))
  )
  const [ofSeed, ofNode] = memory
  if (ofSeed === undefined || ofNode === undefined) throw new Error('nothing was measured')
  return { title, seconds: (performance.now() - begun) / 1000, seed: ofSeed, node: ofNode }
}

function urlOf({ registryUrl }: MeshNode, layers: readonly Layer[], client: number): string {
  const layer = layers[client % layers.length]
  if (layer === undefined) throw new Error('there is no layer')
  return blobUrl(registryUrl, layer)
}

function report(runs: readonly Run[]): Report {
  const peaks = (title: string, who: 'seed' | 'node') =>
    median(runs.filter((run) => run.title === title).map((run) => run[who].peakBytes / MIB))
  const rows = CASES.flatMap(({ title }) =>
    (['seed', 'node'] as const).map((who) => {
      const these = runs.filter((run) => run.title === title)
      const usual = median(these.flatMap((run) => run[who].samples)) / MIB
      return [
        title,
        who,
        `${peaks(title, who).toFixed(0)} MiB`,
        `${usual.toFixed(0)} MiB`,
        formatSeconds(median(these.map(({ seconds }) => seconds)))
      ]
    })
  )
  const most = Math.max(...CASES.flatMap(({ title }) => [peaks(title, 'seed'), peaks(title, 'node')]))
  return {
    head: ['pulls', '', 'peak', 'median', 'took'],
    rows,
    figures: [reached(GOALS.memory, most)],
    notes: [
      'Resident memory as the kernel counts it, with the program itself; the peak is of the time of the pulls only.'
    ],
    runs
  }
}

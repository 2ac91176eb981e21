import { setTimeout as sleep } from 'node:timers/promises'
import type { Sandbox } from '../../support/sandbox.ts'
import type { Benchmark, Options, Report } from '../benchmark.ts'
import { startBigMesh } from '../big-mesh.ts'
import { withCpu } from '../measure/cpu.ts'
import { residentBytes } from '../measure/memory.ts'
import { GOALS, reached } from '../report/goals.ts'
import { median } from '../report/statistics.ts'
import { formatShare, MIB } from '../report/units.ts'
import { withSandbox } from '../sandboxes.ts'

interface NodeUse {
  readonly name: string
  readonly residentMib: number
  /** Share of one core. */
  readonly cpuShare: number
  readonly peers: number
}

/** What nodes of a mesh take while nobody wants anything. */
export const idle: Benchmark = {
  name: 'idle',
  summary: 'memory and CPU of idle nodes in a mesh, each a process of its own',
  needsNetwork: false,
  defaults: {},
  measure: (options, say) => withSandbox((sandbox) => measure(sandbox, options, say))
}

async function measure(sandbox: Sandbox, options: Options, say: (text: string) => void): Promise<Report> {
  const { seed, nodes } = await startBigMesh(sandbox, options.nodes, say)
  const all = [seed, ...nodes]
  say(`watching for ${options.seconds} s`)
  const groups = Object.fromEntries(all.map(({ name, process }) => [name, [process.pid]]))
  const { cpu } = await withCpu(groups, () => sleep(options.seconds * 1000))
  const uses = await Promise.all(
    all.map(async (node): Promise<NodeUse> => {
      const residentMib = (await residentBytes(node.process.pid)) / MIB
      const cpuShare = (cpu.cpuSeconds[node.name] ?? Number.NaN) / cpu.elapsedSeconds
      return { name: node.name, residentMib, cpuShare, peers: (await node.status()).peers }
    })
  )
  return report(uses, cpu.busyShare)
}

function report(uses: readonly NodeUse[], busyShare: number): Report {
  const [seed, ...nodes] = uses
  const memory = nodes.map(({ residentMib }) => residentMib)
  const cpu = nodes.map(({ cpuShare }) => cpuShare)
  const row = (title: string, mib: number, share: number, peers: number) => [
    title,
    `${mib.toFixed(0)} MiB`,
    formatShare(share),
    String(peers)
  ]
  const connected = nodes.map(({ peers }) => peers)
  return {
    head: ['', 'resident', 'CPU of a core', 'peers'],
    rows: [
      row('median node', median(memory), median(cpu), median(connected)),
      row('the most of any', Math.max(...memory), Math.max(...cpu), Math.max(...connected)),
      ...(seed === undefined ? [] : [row('seed', seed.residentMib, seed.cpuShare, seed.peers)])
    ],
    figures: [reached(GOALS.idleMemory, median(memory)), reached(GOALS.idleCpu, median(cpu) * 100)],
    notes: [`${uses.length} nodes; the machine was busy for ${formatShare(busyShare)} of the time.`],
    runs: uses
  }
}

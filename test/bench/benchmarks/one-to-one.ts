import { join } from 'node:path'
import { MeshNode } from '../../support/node.ts'
import { RemoteModule } from '../../support/remote-module.ts'
import type { Sandbox } from '../../support/sandbox.ts'
import type { Benchmark, Options, Report } from '../benchmark.ts'
import { pullInto } from '../clients/admin-pull.ts'
import { type Layer, layerContent, makeLayer, pushLayer } from '../clients/layer.ts'
import { type CpuUse, withCpu } from '../measure/cpu.ts'
import { settleDisk, writeContent } from '../measure/disk.ts'
import { GOALS, reached } from '../report/goals.ts'
import { median } from '../report/statistics.ts'
import { formatSeconds, formatShare, formatThroughput, GIB } from '../report/units.ts'
import { withSandbox } from '../sandboxes.ts'
import { makeCertificate } from '../yardsticks/certificate.ts'

type Server = typeof import('../yardsticks/https-server.ts')
type Client = typeof import('../yardsticks/https-client.ts')
type Use = CpuUse<'giving' | 'taking'>

interface Run {
  readonly layermesh: Use
  readonly https: Use
}

/** One peer to one peer, on loopback: encrypted, verified, stored. */
export const oneToOne: Benchmark = {
  name: 'one-to-one',
  summary: 'one peer to one peer, against Node https',
  needsNetwork: false,
  defaults: { sizeBytes: GIB },
  async measure(options, say) {
    const runs: Run[] = []
    for (let i = 1; i <= options.runs; i++) {
      const layer = makeLayer(`one-to-one-${i}`, options.sizeBytes)
      say(`run ${i}: https`)
      const https = await withSandbox((sandbox) => measureHttps(sandbox, layer))
      say(`run ${i}: layermesh`)
      runs.push({ https, layermesh: await withSandbox((sandbox) => measureLayermesh(sandbox, layer)) })
    }
    return report(options, runs)
  }
}

async function measureLayermesh(sandbox: Sandbox, layer: Layer): Promise<Use> {
  const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  const node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed })
  await pushLayer(seed.registryUrl, layer)
  await settleDisk(sandbox, 2 * layer.size)
  const { cpu } = await withCpu({ giving: [seed.process.pid], taking: [node.process.pid] }, () => pullInto(node, layer))
  const received = await node.receivedFromPeers()
  if (received < layer.size) throw new Error(`${received} bytes came from the peer, not ${layer.size}`)
  return cpu
}

async function measureHttps(sandbox: Sandbox, layer: Layer): Promise<Use> {
  const { key, cert } = await makeCertificate(sandbox)
  const source = join(sandbox.directory, 'source')
  await writeContent(source, layerContent(layer))
  const server = await RemoteModule.start<Server>(sandbox, new URL('../yardsticks/https-server.ts', import.meta.url))
  const client = await RemoteModule.start<Client>(sandbox, new URL('../yardsticks/https-client.ts', import.meta.url))
  const url = await server.call('serve', source, layer.size, key, cert)
  await settleDisk(sandbox, 2 * layer.size)
  const { value, cpu } = await withCpu({ giving: [server.pid], taking: [client.pid] }, () =>
    client.call('fetchInto', join(sandbox.directory, 'taken'), url, cert)
  )
  if (value !== layer.digest) throw new Error(`${value} came instead of ${layer.digest}`)
  return cpu
}

function report({ sizeBytes }: Options, runs: readonly Run[]): Report {
  const secondsOf = (name: keyof Run) => median(runs.map((run) => run[name].elapsedSeconds))
  const cpuOf = (name: keyof Run, end: 'giving' | 'taking') => median(runs.map((run) => run[name].cpuSeconds[end]))
  const bothEnds = ({ cpuSeconds }: Use) => cpuSeconds.giving + cpuSeconds.taking
  const perGib = GIB / sizeBytes
  const row = (name: keyof Run, title: string) => [
    title,
    formatSeconds(secondsOf(name)),
    formatThroughput(sizeBytes, secondsOf(name)),
    ...(['giving', 'taking'] as const).map((end) => `${(cpuOf(name, end) * perGib).toFixed(2)} s`),
    formatShare(median(runs.map((run) => run[name].othersShare)))
  ]
  return {
    head: ['', 'took', 'throughput', 'CPU/GiB giving', 'CPU/GiB taking', 'machine busy with others'],
    rows: [row('layermesh', 'layermesh'), row('https', 'Node https')],
    figures: [
      reached(
        GOALS.oneToOne,
        median(runs.map(({ layermesh, https }) => https.elapsedSeconds / layermesh.elapsedSeconds))
      ),
      reached(GOALS.oneToOneCpu, median(runs.map(({ layermesh, https }) => bothEnds(layermesh) / bothEnds(https))))
    ],
    notes: [
      'Both write to the directory of TMPDIR and sync the file; ratios are those of runs that followed each other.',
      'Before each, a file of twice the size was written and removed, so that the machine has the memory at hand.'
    ],
    runs
  }
}

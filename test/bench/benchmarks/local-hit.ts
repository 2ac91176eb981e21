import { MeshNode } from '../../support/node.ts'
import type { Sandbox } from '../../support/sandbox.ts'
import { DockerRegistry, whyNoDockerRegistry } from '../../support/upstream/docker-registry.ts'
import type { Benchmark, Options, Report } from '../benchmark.ts'
import { type CurlTimes, download } from '../clients/curl.ts'
import { blobUrl, type Layer, makeLayer, pushLayer } from '../clients/layer.ts'
import { type CpuUse, withCpu } from '../measure/cpu.ts'
import { GOALS, reached } from '../report/goals.ts'
import { median } from '../report/statistics.ts'
import { formatSeconds, formatShare, formatThroughput, GIB } from '../report/units.ts'
import { withSandbox } from '../sandboxes.ts'

const CLIENTS = [1, 4] as const
const WARM_UP_RUNS = 1

interface Server {
  readonly name: string
  readonly url: string
  readonly pid: number
}

interface Hit {
  readonly server: string
  readonly clients: number
  readonly downloads: readonly CurlTimes[]
  readonly cpu: CpuUse<'server'>
}

/** `GET` of a blob that is here, thrown away by curl, against docker-registry with the same blob. */
export const localHit: Benchmark = {
  name: 'local-hit',
  summary: 'GET of a blob that the node has, by one client and by four, against docker-registry',
  needsNetwork: false,
  defaults: { sizeBytes: GIB, runs: 5 },
  measure: (options, say) => withSandbox((sandbox) => measure(sandbox, options, say))
}

async function measure(sandbox: Sandbox, options: Options, say: (text: string) => void): Promise<Report> {
  const layer = makeLayer('local-hit', options.sizeBytes)
  say('pushing')
  const servers = await startServers(sandbox, layer)
  const runs: Hit[] = []
  for (let i = 1 - WARM_UP_RUNS; i <= options.runs; i++) {
    say(i > 0 ? `run ${i}` : 'warming up')
    for (const clients of CLIENTS) {
      for (const server of servers) {
        const hit = await hitOnce(server, layer, clients)
        if (i > 0) runs.push(hit)
      }
    }
  }
  return report(options, servers, runs)
}

/** layermesh first; docker-registry when it is installed. */
async function startServers(sandbox: Sandbox, layer: Layer): Promise<Server[]> {
  const node = await MeshNode.start(sandbox, { name: 'node', role: 'seed' })
  const servers = [{ name: 'layermesh', url: node.registryUrl, pid: node.process.pid }]
  if ((await whyNoDockerRegistry()) === undefined) {
    const { url, pid } = await DockerRegistry.start(sandbox, await sandbox.makeDirectory('docker-registry'))
    servers.push({ name: 'docker-registry', url, pid })
  }
  for (const { url } of servers) await pushLayer(url, layer)
  return servers
}

async function hitOnce({ name, url, pid }: Server, layer: Layer, clients: number): Promise<Hit> {
  const { value, cpu } = await withCpu({ server: [pid] }, () =>
    Promise.all(Array.from({ length: clients }, () => download(blobUrl(url, layer))))
  )
  return { server: name, clients, downloads: value, cpu }
}

function report({ sizeBytes }: Options, servers: readonly Server[], runs: readonly Hit[]): Report {
  const hitsOf = (name: string, clients: number) => runs.filter((hit) => hit.server === name && hit.clients === clients)
  const slowest = ({ downloads }: Hit) => Math.max(...downloads.map(({ seconds }) => seconds))
  const seconds = (name: string, clients: number) => median(hitsOf(name, clients).map(slowest))
  const rows = CLIENTS.flatMap((clients) =>
    servers.map(({ name }) => {
      const hits = hitsOf(name, clients)
      const clientBusy = hits.flatMap(({ downloads }) => downloads.map((curl) => curl.cpuSeconds / curl.seconds))
      return [
        name,
        String(clients),
        formatSeconds(seconds(name, clients)),
        formatThroughput(sizeBytes * clients, seconds(name, clients)),
        `${median(hits.map(({ cpu }) => cpu.cpuSeconds.server / clients / (sizeBytes / GIB))).toFixed(2)} s`,
        formatShare(median(clientBusy)),
        formatShare(median(hits.map(({ cpu }) => cpu.busyShare)))
      ]
    })
  )
  const ratio = (clients: number) => seconds('docker-registry', clients) / seconds('layermesh', clients)
  const [, other] = servers
  return {
    head: ['', 'clients', 'took', 'throughput', 'CPU/GiB server', 'each curl busy', 'machine busy'],
    rows,
    figures: other === undefined ? [] : [reached(GOALS.localHit, ratio(1)), reached(GOALS.localHitByFour, ratio(4))],
    notes: [
      'A curl that is busy all the time is what is measured, and not the server.',
      'layermesh verifies what it reads from the disk; docker-registry sends it as it is.',
      ...(other === undefined ? ['docker-registry is not installed: nothing to compare with'] : [])
    ],
    runs
  }
}

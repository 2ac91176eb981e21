import { join } from 'node:path'
import { request } from '../../support/http.ts'
import { MeshNode } from '../../support/node.ts'
import type { Sandbox } from '../../support/sandbox.ts'
import { DockerRegistry, whyNoDockerRegistry } from '../../support/upstream/docker-registry.ts'
import type { Benchmark, Options, Report } from '../benchmark.ts'
import { upload } from '../clients/curl.ts'
import { type Layer, layerContent, makeLayer } from '../clients/layer.ts'
import { type CpuUse, withCpu } from '../measure/cpu.ts'
import { settleDisk, writeContent } from '../measure/disk.ts'
import { GOALS, reached } from '../report/goals.ts'
import { median } from '../report/statistics.ts'
import { formatSeconds, formatShare, formatThroughput, GIB } from '../report/units.ts'
import { withSandbox } from '../sandboxes.ts'

/** Monolithic: POST, then all with PUT. Streamed: POST, all with one PATCH of unknown length, PUT, as docker pushes. */
const WAYS = ['monolithic', 'streamed'] as const
const COMMIT_TIMEOUT_MS = 120_000

type Way = (typeof WAYS)[number]

interface Server {
  readonly url: string
  readonly pid: number
}

interface Push {
  readonly server: string
  readonly way: Way
  readonly cpu: CpuUse<'server'>
}

const SERVERS: Readonly<Record<string, (sandbox: Sandbox) => Promise<Server>>> = {
  async layermesh(sandbox) {
    const node = await MeshNode.start(sandbox, { name: 'node', role: 'seed' })
    return { url: node.registryUrl, pid: node.process.pid }
  },
  async 'docker-registry'(sandbox) {
    return await DockerRegistry.start(sandbox, await sandbox.makeDirectory('docker-registry'))
  }
}

/** A blob pushed by curl, until the answer says that it is kept, against docker-registry. */
export const push: Benchmark = {
  name: 'push',
  summary: 'push of a blob until it is acknowledged, against docker-registry',
  needsNetwork: false,
  defaults: { sizeBytes: GIB },
  async measure(options, say) {
    const missing = await whyNoDockerRegistry()
    const servers = Object.keys(SERVERS).slice(0, missing === undefined ? 2 : 1)
    const runs: Push[] = []
    for (let i = 1; i <= options.runs; i++) {
      const layer = makeLayer(`push-${i}`, options.sizeBytes)
      for (const way of WAYS) {
        for (const server of servers) {
          say(`run ${i}: ${way}, ${server}`)
          runs.push(await withSandbox((sandbox) => pushOnce(sandbox, server, way, layer)))
        }
      }
    }
    return report(options, servers, runs, missing)
  }
}

async function pushOnce(sandbox: Sandbox, name: string, way: Way, layer: Layer): Promise<Push> {
  const file = join(sandbox.directory, 'layer')
  await writeContent(file, layerContent(layer))
  const server = await SERVERS[name]?.(sandbox)
  if (server === undefined) throw new Error(`there is no server ${name}`)
  await settleDisk(sandbox, 2 * layer.size)
  const { cpu } = await withCpu({ server: [server.pid] }, () => pushFile(server.url, layer, file, way))
  return { server: name, way, cpu }
}

async function pushFile(registryUrl: string, layer: Layer, file: string, way: Way): Promise<void> {
  const started = await request(`${registryUrl}/v2/${layer.repository}/blobs/uploads/`, { method: 'POST' })
  const session = new URL(started.headers.get('location') ?? '', registryUrl)
  const commit = (location: URL) => {
    const url = new URL(location)
    url.searchParams.set('digest', layer.digest)
    return url.href
  }
  if (way === 'monolithic') return void (await upload('PUT', commit(session), file, false))
  const { location } = await upload('PATCH', session.href, file, true)
  const signal = AbortSignal.timeout(COMMIT_TIMEOUT_MS)
  const { status } = await request(commit(new URL(location, registryUrl)), { method: 'PUT', signal })
  if (status !== 201) throw new Error(`the blob was answered with ${status}`)
}

function report({ sizeBytes }: Options, servers: readonly string[], runs: readonly Push[], missing?: string): Report {
  const pushes = (server: string, way: Way) => runs.filter((run) => run.server === server && run.way === way)
  const seconds = (server: string, way: Way) => median(pushes(server, way).map(({ cpu }) => cpu.elapsedSeconds))
  const ratio = (way: Way) => seconds('docker-registry', way) / seconds('layermesh', way)
  const rows = WAYS.flatMap((way) =>
    servers.map((server) => [
      server,
      way,
      formatSeconds(seconds(server, way)),
      formatThroughput(sizeBytes, seconds(server, way)),
      `${median(pushes(server, way).map(({ cpu }) => cpu.cpuSeconds.server / (sizeBytes / GIB))).toFixed(2)} s`,
      formatShare(median(pushes(server, way).map(({ cpu }) => cpu.othersShare)))
    ])
  )
  return {
    head: ['', 'way', 'took', 'throughput', 'CPU/GiB server', 'machine busy with others'],
    rows,
    figures:
      missing === undefined
        ? [reached(GOALS.push, ratio('streamed')), reached(GOALS.pushMonolithic, ratio('monolithic'))]
        : [],
    notes: [
      'Both sync the file before they answer; layermesh also the directory in which it gets its name, docker-registry does not.',
      'Before each, a file of twice the size was written and removed, so that the machine has the memory at hand.',
      ...(missing === undefined ? [] : [missing])
    ],
    runs
  }
}

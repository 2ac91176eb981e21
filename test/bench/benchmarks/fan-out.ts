import type { Host } from '../../support/network/host.ts'
import { Network } from '../../support/network/network.ts'
import type { Sandbox } from '../../support/sandbox.ts'
import { DockerRegistry, whyNoDockerRegistry } from '../../support/upstream/docker-registry.ts'
import type { Benchmark, Options, Report } from '../benchmark.ts'
import { type Layer, makeLayer } from '../clients/layer.ts'
import { makeDisk, startClient, startCluster } from '../cluster.ts'
import { measureLink } from '../measure/link-rate.ts'
import { GOALS, reached } from '../report/goals.ts'
import { median, sum } from '../report/statistics.ts'
import { formatRatio, formatSeconds, formatShare, MIB } from '../report/units.ts'
import { withSandbox } from '../sandboxes.ts'
import { type ClusterPull, type PullAtOnce, pullAtOnce, pullEverywhere } from './pull-at-once.ts'

const PREFIX = 'lmb'
const ZONE = 'one'

interface Run extends ClusterPull {
  /** What bare TCP carries from the seed to a host, measured just before. */
  readonly measuredLinkBitsPerSecond: number
}

/** Many hosts on equal links pull one layer at the same moment; only the seed has it. */
export const fanOut: Benchmark = {
  name: 'fan-out',
  summary: 'many hosts pull one layer at once, each on a link of its own',
  needsNetwork: true,
  defaults: { sizeBytes: 256 * MIB },
  async measure(options, say) {
    const runs: Run[] = []
    for (let i = 1; i <= options.runs; i++) {
      say(`run ${i}: layermesh`)
      runs.push(await withSandbox((sandbox) => measureMesh(sandbox, options, i)))
    }
    const missing = await whyNoDockerRegistry()
    if (!options.registry || missing !== undefined) return report(options, runs, undefined, missing)
    say('docker-registry alone')
    return report(options, runs, await withSandbox((sandbox) => measureRegistry(sandbox, options)), undefined)
  }
}

async function measureMesh(sandbox: Sandbox, options: Options, run: number): Promise<Run> {
  const layer = makeLayer(`fan-out-${run}`, options.sizeBytes)
  const [seedHost, ...hosts] = await makeHosts(sandbox, options)
  const at = (host: Host) => ({ host, zone: ZONE })
  const cluster = await startCluster(sandbox, at(seedHost), hosts.map(at))
  const { seed, stations } = cluster
  const [first] = stations
  const link = first ? await measureLink(seed, first, options.linkBitsPerSecond) : Number.NaN
  await seed.client.call('push', seed.node.registryUrl, layer)
  return { measuredLinkBitsPerSecond: link, ...(await pullEverywhere(cluster, layer)) }
}

/** What people use today: every host pulls from the one server. */
async function measureRegistry(sandbox: Sandbox, options: Options): Promise<PullAtOnce> {
  const layer: Layer = makeLayer('fan-out-registry', options.sizeBytes)
  const [server, ...hosts] = await makeHosts(sandbox, options)
  const directory = await makeDisk(sandbox, 'registry')
  const { url } = await DockerRegistry.start(sandbox, directory, { place: server })
  await (await startClient(sandbox, server)).call('push', url, layer)
  const clients = await Promise.all(hosts.map((host) => startClient(sandbox, host)))
  return await pullAtOnce(
    clients.map((client) => ({ client, registryUrl: url })),
    layer
  )
}

/** The first is the server's. */
async function makeHosts(sandbox: Sandbox, { hosts, linkBitsPerSecond }: Options): Promise<[Host, ...Host[]]> {
  const network = await Network.create(sandbox, PREFIX)
  const middle = await network.addSwitch('switch')
  const server = await network.addHost(middle, 'seed', linkBitsPerSecond)
  const others: Host[] = []
  for (let i = 1; i <= hosts; i++) others.push(await network.addHost(middle, `host${i}`, linkBitsPerSecond))
  return [server, ...others]
}

function report(
  { sizeBytes, linkBitsPerSecond }: Options,
  runs: readonly Run[],
  registry: PullAtOnce | undefined,
  missing: string | undefined
): Report {
  const limit = (sizeBytes * 8) / linkBitsPerSecond
  const measuredLimit = (sizeBytes * 8) / median(runs.map((run) => run.measuredLinkBitsPerSecond))
  const makespan = median(runs.map((run) => run.makespanSeconds))
  const row = (title: string, pulls: readonly PullAtOnce[], more: readonly string[]) => {
    const took = median(pulls.map((pull) => pull.makespanSeconds))
    const [firsts, ends] = [pulls.flatMap((pull) => pull.firstByteSeconds), pulls.flatMap((pull) => pull.endSeconds)]
    return [
      title,
      formatSeconds(took),
      formatRatio(took / limit),
      formatRatio(took / measuredLimit),
      formatSeconds(Math.min(...ends)),
      formatSeconds(median(firsts)),
      formatSeconds(Math.max(...firsts)),
      String(sum(pulls.map(({ refusals }) => refusals.length))),
      ...more
    ]
  }
  const seedPayload = median(runs.map(({ seed }) => seed.sentPayload / sizeBytes))
  const seedOnLink = median(runs.map(({ seed }) => seed.sentOnLink / sizeBytes))
  const cpu = runs.map((run) => run.cpu)
  const more = [
    formatRatio(seedPayload),
    formatRatio(seedOnLink),
    `${median(cpu.map(({ cpuSeconds }) => cpuSeconds.nodes)).toFixed(1)} s`,
    formatShare(median(cpu.map(({ busyShare }) => busyShare))),
    formatShare(median(cpu.map(({ othersShare }) => othersShare)))
  ]
  return {
    head: [
      ...['', 'makespan', '÷ nominal limit', '÷ measured limit', 'first host done', 'first byte p50', 'max', 'refused'],
      ...['payload from seed', 'on its link', 'CPU of nodes', 'machine busy', 'with others']
    ],
    rows: [
      row('layermesh', runs, more),
      ...(registry === undefined ? [] : [row('docker-registry alone', [registry], [])])
    ],
    figures: [reached(GOALS.fanOut, makespan / limit), reached(GOALS.fanOutSeed, seedPayload)],
    notes: [
      `The limit is ${formatSeconds(limit)} at the nominal rate; at what bare TCP carries, ${formatSeconds(measuredLimit)}.`,
      'Refused: answers that something can not be had, after which the client asked again; should be 0.',
      'Where the machine is busy all the time, it is measured and not the links.',
      ...(missing === undefined ? [] : [missing])
    ],
    runs: [...runs, ...(registry === undefined ? [] : [{ dockerRegistry: registry }])]
  }
}

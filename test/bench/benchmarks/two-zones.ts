import { bytesThrough } from '../../support/network/link.ts'
import { Network } from '../../support/network/network.ts'
import type { Sandbox } from '../../support/sandbox.ts'
import type { Benchmark, Options, Report } from '../benchmark.ts'
import { makeLayer } from '../clients/layer.ts'
import { type PlacedNode, startCluster } from '../cluster.ts'
import { measureLink } from '../measure/link-rate.ts'
import { GOALS, reached } from '../report/goals.ts'
import { median, sum } from '../report/statistics.ts'
import { formatRatio, formatSeconds, formatShare, MIB } from '../report/units.ts'
import { withSandbox } from '../sandboxes.ts'
import { type ClusterPull, pullEverywhere } from './pull-at-once.ts'

const PREFIX = 'lmb'
const NEAR = 'a'
const FAR = 'b'

interface Run extends ClusterPull {
  readonly measuredLinkBitsPerSecond: number
  /** Payload that nodes of the one zone took from nodes of the other, by the zone that took it. */
  readonly farPayload: Readonly<Record<typeof NEAR | typeof FAR, number>>
  /** What went over the link between the zones, with all headers, by the zone that took it. */
  readonly onLink: Readonly<Record<typeof NEAR | typeof FAR, number>>
}

/** Two zones joined by one narrow link pull one layer at the same moment; only a seed in the first has it. */
export const twoZones: Benchmark = {
  name: 'two-zones',
  summary: 'two zones on a narrow link pull one layer at once: what goes over that link',
  needsNetwork: true,
  defaults: { sizeBytes: 256 * MIB },
  async measure(options, say) {
    const runs: Run[] = []
    for (let i = 1; i <= options.runs; i++) {
      say(`run ${i}`)
      runs.push(await withSandbox((sandbox) => measure(sandbox, options, i)))
    }
    return report(options, runs)
  }
}

async function measure(sandbox: Sandbox, options: Options, run: number): Promise<Run> {
  const { hosts, linkBitsPerSecond, farLinkBitsPerSecond, sizeBytes } = options
  const layer = makeLayer(`two-zones-${run}`, sizeBytes)
  const network = await Network.create(sandbox, PREFIX)
  const switches = { [NEAR]: await network.addSwitch('switch-a'), [FAR]: await network.addSwitch('switch-b') }
  const between = await network.join(switches[NEAR], switches[FAR], farLinkBitsPerSecond)
  const place = async (zone: typeof NEAR | typeof FAR, name: string): Promise<PlacedNode> => ({
    host: await network.addHost(switches[zone], name, linkBitsPerSecond),
    zone
  })
  const seedAt = await place(NEAR, 'seed')
  const nodesAt: PlacedNode[] = []
  for (let i = 0; i < hosts; i++) nodesAt.push(await place(i < hosts / 2 ? NEAR : FAR, `host${i + 1}`))

  const cluster = await startCluster(sandbox, seedAt, nodesAt)
  const far = cluster.stations.at(-1)
  const link = far ? await measureLink(cluster.seed, far, farLinkBitsPerSecond) : Number.NaN
  await cluster.seed.client.call('push', cluster.seed.node.registryUrl, layer)
  const before = await bytesThrough(between)
  const pull = await pullEverywhere(cluster, layer)
  const after = await bytesThrough(between)
  const farPayloadOf = (zone: string) => sum(pull.nodes.filter((_, i) => nodesAt[i]?.zone === zone).map(receivedFar))
  return {
    ...pull,
    measuredLinkBitsPerSecond: link,
    farPayload: { [NEAR]: farPayloadOf(NEAR), [FAR]: farPayloadOf(FAR) },
    onLink: { [NEAR]: after.received - before.received, [FAR]: after.sent - before.sent }
  }
}

function receivedFar({ receivedFar }: ClusterPull['nodes'][number]): number {
  return receivedFar
}

function report({ sizeBytes, farLinkBitsPerSecond }: Options, runs: readonly Run[]): Report {
  const limit = (sizeBytes * 8) / farLinkBitsPerSecond
  const measuredLimit = (sizeBytes * 8) / median(runs.map((run) => run.measuredLinkBitsPerSecond))
  const makespan = median(runs.map((run) => run.makespanSeconds))
  const images = (bytes: (run: Run) => number) => median(runs.map((run) => bytes(run) / sizeBytes))
  const payload = images(({ farPayload }) => farPayload[NEAR] + farPayload[FAR])
  return {
    head: [
      ...['', 'makespan', '÷ nominal limit', '÷ measured limit', 'payload over the link', 'into the far zone'],
      ...['on the link', 'payload from seed', 'refused', 'CPU of nodes', 'machine busy', 'with others']
    ],
    rows: [
      [
        'layermesh',
        formatSeconds(makespan),
        formatRatio(makespan / limit),
        formatRatio(makespan / measuredLimit),
        formatRatio(payload),
        formatRatio(images(({ farPayload }) => farPayload[FAR])),
        formatRatio(images(({ onLink }) => onLink[NEAR] + onLink[FAR])),
        formatRatio(images(({ seed }) => seed.sentPayload)),
        String(sum(runs.map(({ refusals }) => refusals.length))),
        `${median(runs.map(({ cpu }) => cpu.cpuSeconds.nodes)).toFixed(1)} s`,
        formatShare(median(runs.map(({ cpu }) => cpu.busyShare))),
        formatShare(median(runs.map(({ cpu }) => cpu.othersShare)))
      ]
    ],
    figures: [reached(GOALS.twoZones, payload)],
    notes: [
      `The limit is ${formatSeconds(limit)} at the nominal rate of the link; at what bare TCP carries, ${formatSeconds(measuredLimit)}.`,
      'Payload over the link counts both directions; on the link are all headers and what else nodes say.'
    ],
    runs
  }
}

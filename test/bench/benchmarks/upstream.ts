import { setTimeout as sleep } from 'node:timers/promises'
import type { Host } from '../../support/network/host.ts'
import { Network } from '../../support/network/network.ts'
import { RemoteModule } from '../../support/remote-module.ts'
import type { Sandbox } from '../../support/sandbox.ts'
import { DockerRegistry, whyNoDockerRegistry } from '../../support/upstream/docker-registry.ts'
import type { Benchmark, Options, Report } from '../benchmark.ts'
import { monotonicMs } from '../clients/clock.ts'
import type { PullTimes } from '../clients/host-client.ts'
import { type Layer, makeLayer } from '../clients/layer.ts'
import { makeDisk, type Station, startClient, startCluster } from '../cluster.ts'
import { GOALS, reached } from '../report/goals.ts'
import { median, sum } from '../report/statistics.ts'
import { formatRatio, formatSeconds, MIB } from '../report/units.ts'
import { withSandbox } from '../sandboxes.ts'
import { type PullAtOnce, SETTLE_MS, summarize } from './pull-at-once.ts'

const PREFIX = 'lmb'
const ZONE = 'one'
const HUB = 'docker.io'

type Proxy = RemoteModule<typeof import('../../support/upstream/fault-proxy-program.ts')>

interface Run extends PullAtOnce {
  /** Payload of the layer that upstream gave. */
  readonly upstreamBytes: number
  readonly manifestsGiven: number
  /** The host that was killed when half of the layer had left upstream. */
  readonly killed: string | undefined
}

/** Many hosts pull at the same moment what only a registry elsewhere has, without a fault and with one. */
export const upstream: Benchmark = {
  name: 'upstream',
  summary: 'many hosts pull one layer at once from a registry elsewhere: what that gave; also with the gateway killed',
  needsNetwork: true,
  defaults: { sizeBytes: 256 * MIB },
  async measure(options, say) {
    const missing = await whyNoDockerRegistry()
    if (missing !== undefined) throw new Error(missing)
    const runs: Run[] = []
    for (let i = 1; i <= options.runs; i++) {
      for (const kill of [false, true]) {
        say(`run ${i}${kill ? ', with the gateway killed' : ''}`)
        runs.push(await withSandbox((sandbox) => measure(sandbox, options, i, kill)))
      }
    }
    return report(options, runs)
  }
}

async function measure(sandbox: Sandbox, options: Options, run: number, kill: boolean): Promise<Run> {
  const { hosts, linkBitsPerSecond, sizeBytes } = options
  const network = await Network.create(sandbox, PREFIX)
  const middle = await network.addSwitch('switch')
  const addHost = (name: string) => network.addHost(middle, name, linkBitsPerSecond)
  const layer = makeLayer(`upstream-${run}`, sizeBytes)
  const { proxy, url } = await startRegistry(sandbox, await addHost('registry'), layer)
  const at = (host: Host) => ({ host, zone: ZONE })
  const nodesAt = []
  for (let i = 1; i <= hosts; i++) nodesAt.push(at(await addHost(`host${i}`)))
  const settings = { upstreams: { default: HUB, others: 'none', registries: { [HUB]: { url } } } }
  const { stations } = await startCluster(sandbox, at(await addHost('seed')), nodesAt, settings)
  await sleep(SETTLE_MS)

  const begun = monotonicMs()
  const pulls = stations.map((station) => pull(station, { ...layer, repository: `${HUB}/${layer.repository}` }))
  const victim = kill ? await killGateway(proxy, stations, sizeBytes / 2) : undefined
  const times = await Promise.all(pulls.filter((_, i) => stations[i] !== victim))
  return {
    ...summarize(begun, times),
    upstreamBytes: await proxy.call('blobBytes', layer.digest),
    manifestsGiven: await proxy.call('requests', { wanted: 'manifest', method: 'GET' }),
    killed: victim?.host.name
  }
}

/** A registry that has the layer, behind a proxy that counts. */
async function startRegistry(sandbox: Sandbox, host: Host, layer: Layer): Promise<{ proxy: Proxy; url: string }> {
  const registry = await DockerRegistry.start(sandbox, await makeDisk(sandbox, 'registry'), { place: host })
  await (await startClient(sandbox, host)).call('push', registry.url, layer)
  const program = new URL('../../support/upstream/fault-proxy-program.ts', import.meta.url)
  const proxy: Proxy = await RemoteModule.start(sandbox, program, host)
  const url = await proxy.call('open', { address: host.address })
  await proxy.call('serve', { registryUrl: registry.url, openUrl: registry.url })
  return { proxy, url }
}

function pull({ client, node }: Station, layer: Layer): Promise<PullTimes> {
  const pulled = client.call('pull', node.registryUrl, layer)
  // That of the host which is killed fails; those of all others are awaited.
  pulled.catch(() => {})
  return pulled
}

/** SIGKILL for the node that fetches, once upstream has given so much. */
async function killGateway(proxy: Proxy, stations: readonly Station[], afterBytes: number): Promise<Station> {
  const address = await proxy.call('reached', afterBytes)
  const gateway = stations.find(({ host }) => host.address === address)
  if (gateway === undefined) throw new Error(`${address} fetches, which is no host with a client`)
  await gateway.node.kill()
  return gateway
}

function report({ sizeBytes, linkBitsPerSecond }: Options, runs: readonly Run[]): Report {
  const limit = (sizeBytes * 8) / linkBitsPerSecond
  const given = (some: readonly Run[]) => median(some.map(({ upstreamBytes }) => upstreamBytes / sizeBytes))
  const [whole, hurt] = [runs.filter(({ killed }) => !killed), runs.filter(({ killed }) => killed)]
  const row = (title: string, some: readonly Run[]) => {
    const took = median(some.map((run) => run.makespanSeconds))
    return [
      title,
      formatSeconds(took),
      formatRatio(took / limit),
      formatRatio(given(some)),
      formatRatio(Math.max(...some.map(({ upstreamBytes }) => upstreamBytes / sizeBytes))),
      String(Math.max(...some.map(({ manifestsGiven }) => manifestsGiven))),
      formatSeconds(median(some.flatMap((run) => run.firstByteSeconds))),
      String(sum(some.map(({ refusals }) => refusals.length)))
    ]
  }
  return {
    head: ['', 'makespan', '÷ nominal limit', 'upstream gave', 'most', 'manifests', 'first byte p50', 'refused'],
    rows: [row('all hosts at once', whole), row('the gateway killed half-way', hurt)],
    figures: [reached(GOALS.upstream, given(whole)), reached(GOALS.upstreamGatewayLost, given(hurt))],
    notes: [
      `The limit is ${formatSeconds(limit)} at the nominal rate of one link; upstream has no faster one.`,
      'With the gateway killed, the makespan is that of the other hosts.'
    ],
    runs
  }
}

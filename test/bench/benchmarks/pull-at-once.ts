import { setTimeout as sleep } from 'node:timers/promises'
import { sumOf } from '../../support/metrics.ts'
import { monotonicMs } from '../clients/clock.ts'
import type { PullTimes } from '../clients/host-client.ts'
import type { Layer } from '../clients/layer.ts'
import type { Cluster, HostClient, Station } from '../cluster.ts'
import { type CpuUse, withCpu } from '../measure/cpu.ts'

/** What a pull by many clients at the same moment was like. Seconds count from that moment. */
export interface PullAtOnce {
  /** Until the last client had all of it. */
  readonly makespanSeconds: number
  readonly firstByteSeconds: readonly number[]
  readonly endSeconds: readonly number[]
  /** Answers to clients that something can not be had, after which they asked again. */
  readonly refusals: readonly string[]
}

/** What went between nodes meanwhile. */
export interface ClusterPull extends PullAtOnce {
  readonly cpu: CpuUse<'nodes' | 'clients'>
  readonly seed: {
    readonly sentPayload: number
    /** On the seed's link, with all headers. */
    readonly sentOnLink: number
  }
  readonly nodes: readonly NodeBytes[]
}

/** Payload bytes that a node took from and gave to others. */
export interface NodeBytes {
  readonly name: string
  readonly receivedNear: number
  readonly receivedFar: number
  readonly sent: number
}

/** What was done to make the layer ready keeps a node busy for a moment. */
export const SETTLE_MS = 2_000

/** Pulls through every node of a cluster at once. */
export async function pullEverywhere({ seed, stations }: Cluster, layer: Layer): Promise<ClusterPull> {
  await sleep(SETTLE_MS)
  const everybody = [seed, ...stations]
  const groups = {
    nodes: everybody.map(({ node }) => node.process.pid),
    clients: stations.map(({ client }) => client.pid)
  }
  const before = await Promise.all(everybody.map(bytesOf))
  const linkBefore = await seed.host.bytes()
  const { value, cpu } = await withCpu(groups, () =>
    pullAtOnce(
      stations.map(({ client, node }) => ({ client, registryUrl: node.registryUrl })),
      layer
    )
  )
  const linkAfter = await seed.host.bytes()
  const after = await Promise.all(everybody.map(bytesOf))
  const [ofSeed, ...nodes] = after.map((bytes, i) => difference(bytes, before[i] ?? bytes))
  return {
    ...value,
    cpu,
    seed: { sentPayload: ofSeed?.sent ?? 0, sentOnLink: linkAfter.sent - linkBefore.sent },
    nodes
  }
}

/** Has each client pull from its registry, all from the same moment on. */
export async function pullAtOnce(
  pullers: readonly { readonly client: HostClient; readonly registryUrl: string }[],
  layer: Layer
): Promise<PullAtOnce> {
  const begun = monotonicMs()
  const times = await Promise.all(pullers.map(({ client, registryUrl }) => client.call('pull', registryUrl, layer)))
  return summarize(begun, times)
}

/** @param begun time of {@link monotonicMs} at which all were told to pull */
export function summarize(begun: number, times: readonly PullTimes[]): PullAtOnce {
  const seconds = (at: number) => (at - begun) / 1000
  const endSeconds = times.map(({ endedMs }) => seconds(endedMs))
  return {
    makespanSeconds: Math.max(...endSeconds),
    firstByteSeconds: times.map(({ firstByteMs }) => seconds(firstByteMs)),
    endSeconds,
    refusals: times.flatMap(({ refusals }) => refusals)
  }
}

async function bytesOf({ node }: Station): Promise<NodeBytes> {
  const metrics = await node.metrics()
  const received = (scope: string) => sumOf(metrics, 'layermesh_received_bytes_total', { source: 'peer', scope })
  return {
    name: node.name,
    receivedNear: received('zone'),
    receivedFar: received('far'),
    sent: sumOf(metrics, 'layermesh_sent_bytes_total', { target: 'peer' })
  }
}

function difference(after: NodeBytes, before: NodeBytes): NodeBytes {
  return {
    name: after.name,
    receivedNear: after.receivedNear - before.receivedNear,
    receivedFar: after.receivedFar - before.receivedFar,
    sent: after.sent - before.sent
  }
}

import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Host } from '../support/network/host.ts'
import { LAYERMESH, MeshNode } from '../support/node.ts'
import { runOk } from '../support/process.ts'
import { RemoteModule } from '../support/remote-module.ts'
import type { Sandbox } from '../support/sandbox.ts'

export type HostClient = RemoteModule<typeof import('./clients/host-client.ts')>

/** A host with a node and a client of it. */
export interface Station {
  readonly host: Host
  readonly node: MeshNode
  readonly client: HostClient
}

export interface PlacedNode {
  readonly host: Host
  readonly zone: string
}

export interface Cluster {
  readonly seed: Station
  readonly stations: readonly Station[]
}

const START_TIMEOUT_MS = 120_000
/** Who has joined learns of the others within this time. */
const MEETING_DEADLINE_MS = 30_000
const POLL_MS = 250
/** Starting takes CPU; more at a time would only make each slower. */
const STARTS_AT_ONCE = 3

/** A disk of a host's own, in memory: hosts share none, and this machine's one would be what is measured. */
export async function makeDisk(sandbox: Sandbox, name: string): Promise<string> {
  const directory = await sandbox.makeDirectory(name)
  await runOk('mount', ['-t', 'tmpfs', 'tmpfs', directory])
  return directory
}

/** Starts a seed and nodes with a cluster secret, and waits until they know each other. @param settings of all of them */
export async function startCluster(
  sandbox: Sandbox,
  seedAt: PlacedNode,
  nodesAt: readonly PlacedNode[],
  settings: Readonly<Record<string, unknown>> = {}
): Promise<Cluster> {
  const secretFile = await makeSecret(sandbox)
  const start = async ({ host, zone }: PlacedNode, seed?: MeshNode): Promise<Station> => {
    const flags = ['--secret-file', secretFile, '--zone', zone]
    const options = seed === undefined ? { role: 'seed' as const } : { join: [seed], seed }
    // What is measured is what nodes have by default.
    const base = {
      name: host.name,
      place: host,
      settings: { pull: {}, ...settings },
      flags,
      startTimeoutMs: START_TIMEOUT_MS
    }
    await makeDisk(sandbox, host.name)
    const node = await MeshNode.start(sandbox, { ...base, ...options })
    return { host, node, client: await startClient(sandbox, host) }
  }
  const seed = await start(seedAt)
  const stations: Station[] = []
  for (let i = 0; i < nodesAt.length; i += STARTS_AT_ONCE) {
    stations.push(...(await Promise.all(nodesAt.slice(i, i + STARTS_AT_ONCE).map((at) => start(at, seed.node)))))
  }
  await untilAllMet([seed, ...stations])
  return { seed, stations }
}

export function startClient(sandbox: Sandbox, host: Host): Promise<HostClient> {
  return RemoteModule.start(sandbox, new URL('./clients/host-client.ts', import.meta.url), host)
}

async function makeSecret(sandbox: Sandbox): Promise<string> {
  const path = join(sandbox.directory, 'secret')
  await writeFile(path, await runOk(LAYERMESH, ['secret', 'new']))
  await chmod(path, 0o600)
  return path
}

/** Nodes need not know all others to work; that they do only makes runs more alike. */
async function untilAllMet(stations: readonly Station[]): Promise<void> {
  const deadline = performance.now() + MEETING_DEADLINE_MS
  const met = async () =>
    (await Promise.all(stations.map(({ node }) => node.status()))).every(({ peers }) => peers >= stations.length - 1)
  while (!(await met()) && performance.now() < deadline) await sleep(POLL_MS)
}

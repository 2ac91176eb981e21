import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { CliFailure } from '../failure.ts'
import { formatBytes } from '../format.ts'
import { DemoCluster, type DemoNode } from './cluster.ts'
import { type DemoImage, makeImage } from './image.ts'
import { type PulledImage, RegistryClient } from './registry-client.ts'
import { formatReport, formatSeedShare, type NodeReport } from './report.ts'
import { readTraffic } from './traffic.ts'

export interface DemoOptions {
  /** The script that is started for each node. */
  readonly entry: string
  /** An empty directory. */
  readonly directory: string
  readonly environment: NodeJS.ProcessEnv
  readonly signal: AbortSignal
  readonly say: (text: string) => void
}

const REPOSITORY = 'demo/layermesh'
const TAG = 'latest'
const NODES = ['node-1', 'node-2', 'node-3']

/**
 * Shows a mesh at work: an image pushed to a seed, pulled through three nodes at once, and pulled through a fresh node
 * after the seed was killed. @throws {CliFailure} when something does not go as it should
 */
export async function runDemo({ entry, directory, environment, signal, say }: DemoOptions): Promise<void> {
  const cluster = new DemoCluster(join(directory, 'nodes'), entry, environment, signal)
  const clientOf = ({ info }: DemoNode) => new RegistryClient(info.registry, REPOSITORY, signal)
  try {
    say('Making an image of layermesh itself, and starting a seed and three nodes …\n')
    const [image, { seed, nodes }] = await Promise.all([
      makeImageIn(join(directory, 'image'), entry, signal),
      startMesh(cluster)
    ])
    say(`The image has ${image.layers.length} layers and ${formatBytes(image.size)}. Pushing it to the seed …\n`)
    await clientOf(seed).push(image, TAG)
    say('Pulling it through the three nodes at once …\n\n')
    const pulled = await Promise.all(nodes.map((node) => clientOf(node).pull(TAG)))
    say(await reportMesh(seed, nodes, pulled, image, signal))

    say('\nKilling the seed, and pulling through a fresh node that never saw the image …\n\n')
    await cluster.kill(seed)
    const fresh = await cluster.start({ name: 'node-4', role: 'node', join: nodes, trust: [seed.info.peerId] })
    const byTag = await clientOf(fresh).pull(TAG)
    const byDigest = await clientOf(fresh).pull(byTag.digest)
    const same = [...pulled, byDigest].every(({ digest }) => digest === byTag.digest)
    if (!same) throw new CliFailure('FAILED', 'the nodes gave different images for one tag')
    say(await reportFresh(seed, [...nodes, fresh], byTag, signal))
    say(`\nBy tag and by digest it is the same image, and every byte of it was checked: ${byTag.digest}\n`)
  } finally {
    await cluster.stop()
  }
}

async function makeImageIn(directory: string, entry: string, signal: AbortSignal): Promise<DemoImage> {
  await mkdir(directory, { recursive: true })
  return makeImage(entry, directory, signal)
}

async function startMesh(cluster: DemoCluster): Promise<{ seed: DemoNode; nodes: DemoNode[] }> {
  const seed = await cluster.start({ name: 'seed', role: 'seed', join: [], trust: [] })
  const options = { role: 'node', join: [seed], trust: [seed.info.peerId] } as const
  return { seed, nodes: await Promise.all(NODES.map((name) => cluster.start({ name, ...options }))) }
}

async function reportMesh(
  seed: DemoNode,
  nodes: readonly DemoNode[],
  pulled: readonly PulledImage[],
  image: DemoImage,
  signal: AbortSignal
): Promise<string> {
  const seedTraffic = await readTraffic(seed, signal)
  const reports = nodes.map(async (node, index): Promise<NodeReport> => {
    const traffic = await readTraffic(node, signal)
    const result = pulled[index]
    return { name: node.name, traffic, ...(result === undefined ? {} : { pulled: result }) }
  })
  const table = formatReport([{ name: seed.name, traffic: seedTraffic }, ...(await Promise.all(reports))])
  return `${table}\n${formatSeedShare(seedTraffic, nodes.length, image.size)}`
}

async function reportFresh(
  seed: DemoNode,
  nodes: readonly DemoNode[],
  pulled: PulledImage,
  signal: AbortSignal
): Promise<string> {
  const fresh = nodes.at(-1)
  const reports = nodes.map(async (node): Promise<NodeReport> => {
    const traffic = await readTraffic(node, signal)
    return { name: node.name, traffic, ...(node === fresh ? { pulled } : {}) }
  })
  return formatReport([{ name: seed.name }, ...(await Promise.all(reports))])
}

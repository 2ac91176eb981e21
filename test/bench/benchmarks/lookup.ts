import { MEDIA_TYPE } from '@layermesh/oci'
import { eventually, request } from '../../support/http.ts'
import type { MeshNode } from '../../support/node.ts'
import type { Sandbox } from '../../support/sandbox.ts'
import type { Benchmark, Options, Report } from '../benchmark.ts'
import { type BigMesh, startBigMesh } from '../big-mesh.ts'
import { blobUrl, type Layer, makeLayer, pushLayer, TAG } from '../clients/layer.ts'
import { GOALS, reached } from '../report/goals.ts'
import { type Bucket, histogramOf, quantile } from '../report/histogram.ts'
import { sum } from '../report/statistics.ts'
import { formatSeconds, formatShare, KIB } from '../report/units.ts'
import { withSandbox } from '../sandboxes.ts'

const METRIC = 'layermesh_provider_lookup_seconds'
/** Of a node that looks something up, the node that has it is the next but so many. */
const NEXT = 7
const PULL_TIMEOUT_MS = 30_000

/** How soon the DHT of a mesh names who has a blob: each node pulls what only one other node still has. */
export const lookup: Benchmark = {
  name: 'lookup',
  summary: 'how soon the DHT names the first who has a blob, in a mesh of processes',
  needsNetwork: false,
  defaults: { runs: 3 },
  measure: (options, say) => withSandbox((sandbox) => measure(sandbox, options, say))
}

async function measure(sandbox: Sandbox, options: Options, say: (text: string) => void): Promise<Report> {
  const mesh = await startBigMesh(sandbox, options.nodes, say)
  say('giving each node images of its own')
  const layers = await spread(mesh, options.runs)
  await mesh.seed.kill()
  const before = await lookups(mesh.nodes)
  for (const [i, node] of mesh.nodes.entries()) {
    say(`looking up from ${node.name}`)
    for (const layer of layers[(i + NEXT) % layers.length] ?? []) await pull(node, layer)
  }
  const after = await lookups(mesh.nodes)
  return report(
    options,
    after.map(({ limit, count }, i) => ({ limit, count: count - (before[i]?.count ?? 0) }))
  )
}

/** Has each node fetch some images from the seed. @returns those of each node */
async function spread({ seed, nodes }: BigMesh, count: number): Promise<Layer[][]> {
  const layers = nodes.map(({ name }) => Array.from({ length: count }, (_, i) => makeLayer(`${name}-${i}`, KIB)))
  for (const [i, node] of nodes.entries()) {
    for (const layer of layers[i] ?? []) {
      await pushLayer(seed.registryUrl, layer)
      await pull(node, layer)
    }
  }
  return layers
}

/** The manifest by its tag, then the layer; a busy machine may need more than one try. */
async function pull({ name, registryUrl }: MeshNode, layer: Layer): Promise<void> {
  const headers = { Accept: MEDIA_TYPE.ociManifest }
  const urls = [`${registryUrl}/v2/${layer.repository}/manifests/${TAG}`, blobUrl(registryUrl, layer)]
  for (const url of urls) {
    await eventually(`${name} has ${url}`, PULL_TIMEOUT_MS, async () => {
      const { status } = await request(url, { headers })
      return status === 200 || undefined
    })
  }
}

/** The lookups of all nodes together. */
async function lookups(nodes: readonly MeshNode[]): Promise<Bucket[]> {
  return histogramOf((await Promise.all(nodes.map((node) => node.metrics()))).flat(), METRIC)
}

function report({ nodes }: Options, buckets: readonly Bucket[]): Report {
  const found = sum(buckets.map(({ count }) => count))
  const p50 = quantile(buckets, 0.5)
  const within = (seconds: number) =>
    sum(buckets.filter(({ limit }) => limit <= seconds).map(({ count }) => count)) / found
  return {
    head: ['', 'lookups', 'p50', 'p90', 'within 20 ms', 'within 100 ms'],
    rows: [
      [
        'layermesh',
        String(found),
        formatSeconds(p50),
        formatSeconds(quantile(buckets, 0.9)),
        formatShare(within(0.02)),
        formatShare(within(0.1))
      ]
    ],
    figures: [reached(GOALS.lookup, p50 * 1000)],
    notes: [
      `${nodes} nodes. The seed, which would have answered first, was killed before.`,
      `The times are those of ${METRIC}, in proportion within its buckets.`
    ],
    runs: [{ buckets }]
  }
}

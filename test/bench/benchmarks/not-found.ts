import { digestOf } from '@layermesh/oci'
import { request } from '../../support/http.ts'
import { MeshNode } from '../../support/node.ts'
import type { Sandbox } from '../../support/sandbox.ts'
import type { Benchmark, Options, Report } from '../benchmark.ts'
import { makeLayer, pushLayer } from '../clients/layer.ts'
import { GOALS, reached } from '../report/goals.ts'
import { median } from '../report/statistics.ts'
import { formatSeconds, KIB } from '../report/units.ts'
import { withSandbox } from '../sandboxes.ts'

const NODES = 4
const KNOWN = 'known'
/** What a client may ask for that nobody has; a new one each time, since an answer may be remembered. */
const ASKED: Readonly<Record<string, (unknown: string) => string>> = {
  'a tag of a known repository': (unknown) => `bench/${KNOWN}/manifests/${unknown}`,
  'a tag of an unknown repository': (unknown) => `bench/${unknown}/manifests/1`,
  'a manifest by digest': (unknown) => `bench/${KNOWN}/manifests/${digestOf(Buffer.from(unknown))}`,
  'a blob': (unknown) => `bench/${KNOWN}/blobs/${digestOf(Buffer.from(unknown))}`,
  'a mirrored blob': (unknown) => `library/${unknown}/blobs/${digestOf(Buffer.from(unknown))}?ns=docker.io`
}
const SITUATIONS = ['all nodes live', 'the seed is dead'] as const

interface Miss {
  readonly situation: (typeof SITUATIONS)[number]
  readonly asked: string
  readonly seconds: number
}

/** How long a client waits for the 404 after which it goes on to its upstream. */
export const notFound: Benchmark = {
  name: 'not-found',
  summary: 'how soon the answer is 404 to what nobody has',
  needsNetwork: false,
  defaults: { runs: 20 },
  measure: (options, say) => withSandbox((sandbox) => measure(sandbox, options, say))
}

async function measure(sandbox: Sandbox, { runs }: Options, say: (text: string) => void): Promise<Report> {
  const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  const nodes: MeshNode[] = []
  for (let i = 1; i <= NODES; i++) {
    nodes.push(await MeshNode.start(sandbox, { name: `node${i}`, join: [seed, ...nodes], seed }))
  }
  await pushLayer(seed.registryUrl, makeLayer(KNOWN, KIB))
  const misses: Miss[] = []
  for (const situation of SITUATIONS) {
    say(situation)
    if (situation === 'the seed is dead') await seed.kill()
    for (let i = 1; i <= runs; i++) {
      const node = nodes[i % nodes.length]
      if (node !== undefined) misses.push(...(await missAll(node, situation, i)))
    }
  }
  return report(misses)
}

async function missAll(node: MeshNode, situation: Miss['situation'], run: number): Promise<Miss[]> {
  const misses: Miss[] = []
  for (const [asked, path] of Object.entries(ASKED)) {
    const unknown = `unknown-${SITUATIONS.indexOf(situation)}-${run}`
    const { status, elapsedMs } = await request(`${node.registryUrl}/v2/${path(unknown)}`)
    if (status !== 404) throw new Error(`${asked} was answered with ${status}`)
    misses.push({ situation, asked, seconds: elapsedMs / 1000 })
  }
  return misses
}

function report(misses: readonly Miss[]): Report {
  const rows = SITUATIONS.flatMap((situation) =>
    Object.keys(ASKED).map((asked) => {
      const times = misses.filter((miss) => miss.situation === situation && miss.asked === asked)
      const seconds = times.map((miss) => miss.seconds)
      return [situation, asked, formatSeconds(median(seconds)), formatSeconds(Math.max(...seconds))]
    })
  )
  return {
    head: ['', 'asked for', 'median', 'slowest'],
    rows,
    figures: [reached(GOALS.notFound, Math.max(...misses.map(({ seconds }) => seconds)))],
    notes: ['The figure is the slowest of all.'],
    runs: misses
  }
}

import { pieceLengthFor } from '@layermesh/oci'
import { MeshNode } from '../../support/node.ts'
import { openBlob } from '../../support/registry-client.ts'
import type { Sandbox } from '../../support/sandbox.ts'
import type { Benchmark, Options, Report } from '../benchmark.ts'
import { makeLayer, pushLayer } from '../clients/layer.ts'
import { GOALS, reached } from '../report/goals.ts'
import { median } from '../report/statistics.ts'
import { formatSeconds, formatShare, formatSize, GIB } from '../report/units.ts'
import { withSandbox } from '../sandboxes.ts'

interface Run {
  readonly firstByteSeconds: number
  readonly wholeSeconds: number
  /** What the node had taken in when it answered a question asked at the first byte: no less than at the first byte. */
  readonly arrivedBytes: number
}

/** How soon the client of a cold layer has its first byte, and what had to arrive for it. */
export const firstByte: Benchmark = {
  name: 'first-byte',
  summary: 'how soon the client of a cold layer has its first byte',
  needsNetwork: false,
  defaults: { sizeBytes: GIB },
  async measure(options, say) {
    const runs: Run[] = []
    for (let i = 1; i <= options.runs; i++) {
      say(`run ${i}`)
      runs.push(await withSandbox((sandbox) => measure(sandbox, options, i)))
    }
    return report(options, runs)
  }
}

async function measure(sandbox: Sandbox, { sizeBytes }: Options, run: number): Promise<Run> {
  const layer = makeLayer(`first-byte-${run}`, sizeBytes)
  const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  const node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed })
  await pushLayer(seed.registryUrl, layer)
  const begun = performance.now()
  const since = () => (performance.now() - begun) / 1000
  const response = await openBlob(node.registryUrl, layer.repository, layer.digest)
  let firstByteSeconds: number | undefined
  let arrived: Promise<number> | undefined
  for await (const _chunk of response) {
    firstByteSeconds ??= since()
    arrived ??= node.receivedFromPeers()
  }
  const wholeSeconds = since()
  return { firstByteSeconds: firstByteSeconds ?? Number.NaN, wholeSeconds, arrivedBytes: (await arrived) ?? Number.NaN }
}

function report({ sizeBytes }: Options, runs: readonly Run[]): Report {
  const arrived = median(runs.map(({ arrivedBytes }) => arrivedBytes))
  const first = median(runs.map(({ firstByteSeconds }) => firstByteSeconds))
  const whole = median(runs.map(({ wholeSeconds }) => wholeSeconds))
  return {
    head: ['', 'first byte', 'whole layer', 'share of the time', 'had arrived by then'],
    rows: [['layermesh', formatSeconds(first), formatSeconds(whole), formatShare(first / whole), formatSize(arrived)]],
    figures: [reached(GOALS.firstByte, arrived / pieceLengthFor(sizeBytes))],
    notes: ['What had arrived is asked at the first byte, and grows until the answer.'],
    runs
  }
}

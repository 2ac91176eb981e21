import { CliFailure } from '../failure.ts'
import type { DemoNode } from './cluster.ts'

/** Payload bytes of content that a node took in and gave out, as its metrics count them. */
export interface Traffic {
  readonly fromPeers: number
  readonly toPeers: number
}

/** Reads the metrics of a node. */
export async function readTraffic({ name, info }: DemoNode, signal: AbortSignal): Promise<Traffic> {
  const response = await fetch(`${info.admin}/metrics`, { signal }).catch((cause: unknown) => {
    throw new CliFailure('FAILED', `the metrics of ${name} can not be read`, { cause })
  })
  const text = await response.text()
  return {
    fromPeers: sumOf(text, 'layermesh_received_bytes_total', 'source="peer"'),
    toPeers: sumOf(text, 'layermesh_sent_bytes_total', 'target="peer"')
  }
}

/** The sum of all samples of a metric that have this label (Prometheus' text format). */
export function sumOf(text: string, metric: string, label: string): number {
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${metric}{`) && line.includes(label))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

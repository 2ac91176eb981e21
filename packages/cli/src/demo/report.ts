import { formatBytes, formatTable } from '../format.ts'
import type { PulledImage } from './registry-client.ts'
import type { Traffic } from './traffic.ts'

/** What one node did. */
export interface NodeReport {
  readonly name: string
  /** What its client pulled from it, if it did. */
  readonly pulled?: PulledImage
  /** Undefined when it is dead. */
  readonly traffic?: Traffic
}

/** Where the bytes came from and where they went. */
export function formatReport(reports: readonly NodeReport[]): string {
  return formatTable(
    ['node', 'its client pulled', 'in', 'came from peers', 'given to peers'],
    reports.map(({ name, pulled, traffic }) => [
      name,
      pulled === undefined ? '-' : formatBytes(pulled.bytes),
      pulled === undefined ? '-' : `${(pulled.elapsedMs / 1000).toFixed(1)} s`,
      traffic === undefined ? 'killed' : formatBytes(traffic.fromPeers),
      traffic === undefined ? 'killed' : formatBytes(traffic.toPeers)
    ])
  )
}

/** How often the image left the seed, beside how often it was pulled. */
export function formatSeedShare(seed: Traffic, pulls: number, imageBytes: number): string {
  const times = (seed.toPeers / imageBytes).toFixed(2)
  return `${pulls} clients pulled the image; its bytes left the seed ${times} times (${formatBytes(seed.toPeers)}).\n`
}

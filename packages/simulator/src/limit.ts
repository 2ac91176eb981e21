import type { Resident } from './population.ts'
import type { Scenario } from './scenario.ts'

/** The least time in which all can have the image, and what bounds it. */
export interface PhysicalLimit {
  readonly ms: number
  readonly boundBy: string
}

/**
 * No protocol can be quicker than the longest of these, each counted for nodes that are expected to finish (what peers
 * that lie, crash or stand still could give counts all the same, so the limit is a lower bound):
 *
 * - image ÷ uplinks of all origins: everything has to leave them once;
 * - image ÷ the rate at which it comes to the origins from outside, if it does;
 * - for each node, its arrival + image ÷ its downlink;
 * - (nodes × image) ÷ uplinks of all origins and nodes together: everybody takes in what somebody sends;
 * - for each zone without an origin, its first arrival + image ÷ what its links from other zones carry together.
 *
 * Latency and the time to check a piece are left out.
 */
export function physicalLimit(
  scenario: Scenario,
  imageBytes: number,
  residents: readonly Resident[],
  expected: readonly Resident[]
): PhysicalLimit {
  const bounds: PhysicalLimit[] = []
  const bound = (boundBy: string, afterMs: number, bytes: number, bytesPerSecond: number) => {
    bounds.push({ boundBy, ms: afterMs + (bytes / bytesPerSecond) * 1000 })
  }
  const uplinks = (of: readonly Resident[]) => of.reduce((sum, { upBytesPerSecond }) => sum + upBytesPerSecond, 0)

  bound('uplink of the origins', 0, imageBytes, uplinks(residents.filter(({ origin }) => origin)))
  if (scenario.enterBytesPerSecond > 0) bound('way into the mesh', 0, imageBytes, scenario.enterBytesPerSecond)
  bound('uplinks of all nodes', 0, imageBytes * expected.length, uplinks(residents))
  for (const node of expected) bound('downlink of a node', node.arrivesMs, imageBytes, node.downBytesPerSecond)
  if (scenario.farLinkBytesPerSecond > 0) {
    for (const zone of zonesWithoutOrigin(residents)) {
      const first = Math.min(...expected.filter((node) => node.zone === zone).map(({ arrivesMs }) => arrivesMs))
      if (!Number.isFinite(first)) continue
      bound('link into a zone', first, imageBytes, scenario.farLinkBytesPerSecond * (scenario.zones - 1))
    }
  }
  return bounds.reduce((longest, each) => (each.ms > longest.ms ? each : longest), { ms: 0, boundBy: 'nothing' })
}

function zonesWithoutOrigin(residents: readonly Resident[]): Set<number> {
  const zones = new Set(residents.map(({ zone }) => zone))
  for (const { origin, zone } of residents) if (origin) zones.delete(zone)
  return zones
}

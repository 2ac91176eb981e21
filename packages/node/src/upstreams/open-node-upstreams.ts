import { openUpstreams, type UpstreamObserver, type Upstreams } from '@layermesh/upstream'
import type { NodeConfig } from '../config/node-config.ts'
import type { Logger } from '../log.ts'
import type { NodeMetrics } from '../metrics.ts'
import { VERSION } from '../version.ts'

/** The registries that a node may ask. Nothing is loaded, and nothing connected to, before one is asked something. */
export function openNodeUpstreams(
  { log, metrics }: { readonly log: Logger; readonly metrics: () => NodeMetrics },
  { upstreams }: Pick<NodeConfig, 'upstreams'>
): Upstreams {
  const { registries, ...rest } = upstreams
  const settings = {
    ...rest,
    registries: registries.filter(({ mirror }) => mirror),
    excluded: registries.filter(({ mirror }) => !mirror).map(({ host }) => host)
  }
  const observer: UpstreamObserver = {
    asked: (registry, outcome) => metrics().upstreamAsked(registry, outcome),
    rateLimit: (registry, { limit, remaining }) => metrics().upstreamRateLimit(registry, limit, remaining)
  }
  return openUpstreams({ log, observer, env: process.env }, settings, { userAgent: `layermesh/${VERSION}` })
}

import { openUpstreams, type Upstreams } from '@layermesh/upstream'
import type { NodeConfig } from '../config/node-config.ts'
import type { Logger } from '../log.ts'
import { VERSION } from '../version.ts'

/** The registries that a node may ask. Nothing is loaded, and nothing connected to, before one is asked something. */
export function openNodeUpstreams(
  { log }: { readonly log: Logger },
  { upstreams }: Pick<NodeConfig, 'upstreams'>
): Upstreams {
  const { registries, ...rest } = upstreams
  const settings = {
    ...rest,
    registries: registries.filter(({ mirror }) => mirror),
    excluded: registries.filter(({ mirror }) => !mirror).map(({ host }) => host)
  }
  return openUpstreams({ log, env: process.env }, settings, { userAgent: `layermesh/${VERSION}` })
}

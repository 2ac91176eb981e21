import { isPeerId } from '@layermesh/trust'
import { z } from 'zod'
import type { Prefetcher } from '../prefetch/prefetcher.ts'
import { AdminError } from './errors.ts'
import { MAX_DEADLINE_MS, nodePrefetchSchema, prefetchResultSchema } from './schemas.ts'
import { type StreamedAction, streamedAction } from './streamed-action.ts'

const MAX_NAMED = 256
const DEFAULT_DEADLINE_MS = 30 * 60_000
const MAX_RUNNING = 4

const peerId = z.string().refine(isPeerId, { error: 'expected a peer id, as `layermesh peers` prints it' })

/** Has nodes of the mesh fetch an image. */
export function prefetchAction(prefetcher: Prefetcher): StreamedAction {
  return streamedAction({
    path: 'prefetch',
    summary: 'Has chosen nodes fetch an image',
    maxRunning: MAX_RUNNING,
    input: z.strictObject({
      reference: z.string().max(1_024).describe('`[host/]name[:tag][@digest]`'),
      nodes: z.array(peerId).max(MAX_NAMED).default([]).describe('Peer ids of nodes.'),
      zones: z.array(z.string().max(64)).max(MAX_NAMED).default([]).describe('All nodes of these zones.'),
      all: z.boolean().default(false).describe('All nodes of the mesh.'),
      platform: z
        .exactOptional(z.string().max(64))
        .describe('`os/architecture[/variant]` or `all`; without it, each node fetches for its own platform.'),
      deadlineMs: z
        .int()
        .min(1)
        .max(MAX_DEADLINE_MS)
        .default(DEFAULT_DEADLINE_MS)
        .describe('Nodes that are not done after so long have failed; what came by then is kept.')
    }),
    progress: nodePrefetchSchema,
    result: prefetchResultSchema,
    keyOf: (node) => node.peerId,
    run: async ({ nodes, zones, all, ...request }, onNode, signal) => {
      if (nodes.length + zones.length === 0 && !all) {
        throw new AdminError(400, 'BODY_INVALID', 'expected nodes or zones that are not empty, or all: true')
      }
      return await prefetcher.prefetch(request, { nodes, zones, all }, onNode, signal)
    }
  })
}

import type { NodePrefetch, PrefetchEvent } from '@layermesh/node'
import { parsePlatform } from '@layermesh/oci'
import { type Command, Option } from 'commander'
import { type AdminFlags, addAdminFlags, connectForActions } from '../admin-place.ts'
import type { CommandContext } from '../context.ts'
import { readDuration } from '../durations.ts'
import { CliFailure } from '../failure.ts'
import { printable } from '../format.ts'
import { createPrefetchDisplay } from '../prefetch-display.ts'
import { checkReference, withoutRegistry } from '../registry-name.ts'

interface PrefetchFlags extends AdminFlags {
  readonly node?: readonly string[]
  readonly zone?: readonly string[]
  readonly all?: boolean
  readonly platform?: string
  readonly deadline?: string
}

/** `prefetch`: brings an image into many nodes, and shows how far each is. */
export function addPrefetchCommand(program: Command, context: CommandContext): void {
  const repeatable = (value: string, previous: string[] | undefined) => [...(previous ?? []), value]
  const command = program
    .command('prefetch')
    .description('have nodes of the mesh fetch an image, so that it is there when it is wanted')
    .argument('<REF>', 'NAME[:TAG][@DIGEST]')
    .addOption(new Option('--node <PEER_ID>', 'this node; repeatable').argParser(repeatable))
    .addOption(new Option('--zone <ZONE>', 'all nodes of this zone; repeatable').argParser(repeatable))
    .option('--all', 'all nodes of the mesh')
    .option('--platform <PLATFORM>', 'such as linux/arm64, or all (default: that of each node)')
    .option('--deadline <DURATION>', 'nodes that are not done by then have failed (default 30m)')
  addAdminFlags(command).action(async (reference: string, flags: PrefetchFlags) => {
    const input = await readFlags(flags)
    checkReference(reference)
    const client = await connectForActions(flags, context)
    const { registry } = await client.status()
    const display = createPrefetchDisplay(context.out, flags.json === true)
    const failed = new Map<string, NodePrefetch>()
    for await (const event of client.prefetch({ reference: withoutRegistry(reference, registry), ...input })) {
      display.show(event)
      if (event.type === 'progress' && event.progress.state === 'failed') {
        failed.set(event.progress.peerId, event.progress)
      }
      if (event.type === 'error') throw new CliFailure('FAILED', `${reference} was not fetched: ${event.error.message}`)
      if (event.type === 'done') return finish(reference, event, [...failed.values()], flags, context)
    }
    throw new CliFailure('FAILED', `the node ended the prefetch of ${reference} early; ask again to go on`)
  })
}

async function readFlags({ node = [], zone = [], all = false, platform, deadline }: PrefetchFlags) {
  if (node.length + zone.length === 0 && !all) {
    throw new CliFailure('USAGE', 'say which nodes are to fetch it: --node PEER_ID, --zone ZONE or --all')
  }
  if (platform !== undefined && platform !== 'all' && parsePlatform(platform) === undefined) {
    throw new CliFailure('USAGE', `--platform: expected OS/ARCHITECTURE[/VARIANT] or all, not ${platform}`)
  }
  const deadlineMs = deadline === undefined ? undefined : await readDuration('--deadline', deadline)
  return {
    nodes: node,
    zones: zone,
    all,
    ...(platform === undefined ? {} : { platform }),
    ...(deadlineMs === undefined ? {} : { deadlineMs })
  }
}

/** @throws {CliFailure} FAILED when some node did not fetch it, once it was said why, a line each */
function finish(
  reference: string,
  { result: { nodes } }: Extract<PrefetchEvent, { type: 'done' }>,
  failed: readonly NodePrefetch[],
  { json }: PrefetchFlags,
  { out, err }: CommandContext
): void {
  for (const { peerId, zone, error } of failed) {
    err.write(`${printable(`${peerId} in ${zone}: ${error?.message ?? 'failed'}`)}\n`)
  }
  if (failed.length > 0) throw new CliFailure('FAILED', `${failed.length} of ${nodes} nodes did not fetch ${reference}`)
  if (!json) out.write(`${nodes} ${nodes === 1 ? 'node has' : 'nodes have'} ${reference}\n`)
}

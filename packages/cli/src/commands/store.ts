import type { GarbageReport, PinnedImage } from '@layermesh/node'
import type { Command } from 'commander'
import type { AdminClient } from '../admin-client.ts'
import { type AdminFlags, addAdminFlags, connectForActions } from '../admin-place.ts'
import type { CommandContext } from '../context.ts'
import { formatAge, formatBytes, formatPairs, formatTable, shortDigest } from '../format.ts'
import { withoutRegistry } from '../registry-name.ts'

/** `gc`, `pin`, `unpin`, `pins`: what a node keeps and what it removes. */
export function addStoreCommands(program: Command, context: CommandContext): void {
  const gc = program
    .command('gc')
    .description('remove what no manifest names from the store of a running node')
    .option('--dry-run', 'only tell what would be removed')
  addAdminFlags(gc).action(async (flags: AdminFlags & { dryRun?: boolean }) => {
    const { dryRun = false } = flags
    const client = await connectForActions(flags, context)
    const report = await collect(client, dryRun)
    context.out.write(flags.json ? `${JSON.stringify(report, null, 2)}\n` : formatReport(report, dryRun))
  })
  addPins(program, context)
}

function addPins(program: Command, context: CommandContext): void {
  const pin = program
    .command('pin')
    .description('keep an image in a running node, whatever space is needed')
    .argument('<REF>', 'NAME[:TAG][@DIGEST]; what the tag means now is kept')
  addAdminFlags(pin).action(async (reference: string, flags: AdminFlags) => {
    const client = await connectForActions(flags, context)
    const name = withoutRegistry(reference, (await client.status()).registry)
    const pinned = await client.act<PinnedImage>('POST', 'pins', { reference: name })
    const said = `${name} stays: ${pinned.digest}; to bring all of it here: layermesh pull ${name}\n`
    context.out.write(flags.json ? `${JSON.stringify(pinned)}\n` : said)
  })
  const unpin = program
    .command('unpin')
    .description('keep an image no more')
    .argument('<REF>', 'as it was pinned, or NAME@DIGEST')
  addAdminFlags(unpin).action(async (reference: string, flags: AdminFlags) => {
    const client = await connectForActions(flags, context)
    const name = withoutRegistry(reference, (await client.status()).registry)
    const result = await client.act<{ removed: number }>('DELETE', 'pins', { reference: name })
    context.out.write(flags.json ? `${JSON.stringify(result)}\n` : `${name} may be removed when space is needed\n`)
  })
  const pins = program.command('pins').description('the images that a running node keeps')
  addAdminFlags(pins).action(async (flags: AdminFlags) => {
    const client = await connectForActions(flags, context)
    const pinned = await client.act<PinnedImage[]>('GET', 'pins', {})
    context.out.write(flags.json ? `${JSON.stringify(pinned, null, 2)}\n` : formatPins(pinned, Date.now()))
  })
}

/** Has it done to the end: the node takes only so long for one answer. A dry run begins anew each time, so it is asked for once. */
async function collect(client: AdminClient, dryRun: boolean): Promise<GarbageReport> {
  let sum: GarbageReport | undefined
  for (;;) {
    const part = await client.act<GarbageReport>('POST', 'gc', { dryRun })
    sum = sum === undefined ? part : add(sum, part)
    if (part.complete || dryRun) return sum
  }
}

function add(sum: GarbageReport, part: GarbageReport): GarbageReport {
  return {
    complete: part.complete,
    scanned: sum.scanned + part.scanned,
    unlinked: sum.unlinked + part.unlinked,
    blobs: sum.blobs + part.blobs,
    partials: sum.partials + part.partials,
    bytes: sum.bytes + part.bytes,
    rows: sum.rows + part.rows,
    spared: sum.spared + part.spared
  }
}

function formatReport(report: GarbageReport, dryRun: boolean): string {
  const would = dryRun ? 'would be ' : ''
  return formatPairs([
    ['looked at', `${report.scanned} blobs${report.complete ? '' : ', not all: the time was over'}`],
    [
      `${would}removed`,
      `${report.blobs} blobs and ${report.partials} unfinished downloads, ${formatBytes(report.bytes)}`
    ],
    [`${would}unlinked`, `${report.unlinked} times a repository showed what no manifest of it names`],
    ['spared', `${report.spared} blobs that were used not long ago`],
    [`${would}forgotten`, `${report.rows} notes on what is not here any more`]
  ])
}

/** @param now in ms since 1970 */
function formatPins(pins: readonly PinnedImage[], now: number): string {
  if (pins.length === 0) return 'no image is pinned; keep one with: layermesh pin REF\n'
  return formatTable(
    ['image', 'digest', 'since'],
    pins.map(({ reference, digest, at }) => [reference, shortDigest(digest), formatAge(now - Date.parse(at))])
  )
}

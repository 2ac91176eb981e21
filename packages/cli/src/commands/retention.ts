import type { RetentionResult } from '@layermesh/node'
import type { Command } from 'commander'
import { type AdminFlags, addAdminFlags, connectForActions } from '../admin-place.ts'
import type { CommandContext } from '../context.ts'
import { formatTable, shortDigest } from '../format.ts'

/** `retention run`: removes what the rules of a seed do not keep. */
export function addRetentionCommands(program: Command, context: CommandContext): void {
  const retention = program.command('retention').description('the rules by which a seed removes tags and manifests')
  const run = retention
    .command('run')
    .description('remove now what the rules do not keep')
    .option('--dry-run', 'only show what would be removed')
  addAdminFlags(run).action(async (flags: AdminFlags & { dryRun?: true }) => {
    const client = await connectForActions(flags, context)
    const result = await client.act<RetentionResult>('POST', 'retention/run', { dryRun: flags.dryRun === true })
    context.out.write(flags.json ? `${JSON.stringify(result, null, 2)}\n` : formatResult(result))
  })
}

function formatResult({ dryRun, complete, repositories, tags, manifests, spared, counts }: RetentionResult): string {
  const rows = [
    ...tags.map(({ repository, tag, digest }) => ['tag', `${repository}:${tag}`, shortDigest(digest)]),
    ...manifests.map(({ repository, digest }) => ['manifest', repository, shortDigest(digest)]),
    ...spared.map(({ reference, reason }) => ['left', reference, reason])
  ]
  const verb = dryRun ? 'would be removed' : 'removed'
  const summary = `${counts.tags} tags and ${counts.manifests} manifests ${verb}, in ${repositories} repositories`
  const rest = complete ? '' : '; the time was over before all was looked at, run it again to go on'
  return `${rows.length === 0 ? '' : formatTable(['what', 'where', 'which'], rows)}${summary}${rest}\n`
}

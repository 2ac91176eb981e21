import type { ApiKeySummary } from '@layermesh/node'
import { type Command, Option } from 'commander'
import { type AdminFlags, addAdminFlags, connectForActions } from '../admin-place.ts'
import type { CommandContext } from '../context.ts'
import { CliFailure } from '../failure.ts'
import { formatAge, formatTable, printable, shortPeer } from '../format.ts'

interface NewFlags extends AdminFlags {
  readonly user: string
  readonly repositories: readonly string[]
  readonly actions: string
  readonly expires: string
  readonly name?: string
}

/** `token new`, `token list`, `token revoke`: API keys for those who can not type passwords. */
export function addTokenCommands(program: Command, context: CommandContext): void {
  const token = program.command('token').description('API keys, which stand in for a password; ask a running seed')
  const make = token
    .command('new')
    .description('make one, and print it this once')
    .requiredOption('--user <NAME>', 'whose it is; it can do no more than the rules give this user')
    .addOption(
      new Option('--repositories <PATTERN>', 'what it can be used for, such as team/**; repeatable')
        .argParser((value: string, previous: string[] | undefined) => [...(previous ?? []), value])
        .makeOptionMandatory()
    )
    .option('--actions <LIST>', 'some of pull,create,update,delete', 'pull')
    .option('--expires <DURATION>', 'how long it holds, up to 366d', '90d')
    .option('--name <TEXT>', 'what it is for')
  addAdminFlags(make).action(async (flags: NewFlags) => {
    const input = await newKey(flags)
    const client = await connectForActions(flags, context)
    const made = await client.act<ApiKeySummary & { key: string }>('POST', 'keys', input)
    context.out.write(flags.json ? `${JSON.stringify(made)}\n` : `${made.key}\n`)
    if (!flags.json) context.err.write(`expires ${made.expiresAt}; to revoke it: layermesh token revoke ${made.id}\n`)
  })
  addAdminFlags(token.command('list').description('those that are valid now')).action(async (flags: AdminFlags) => {
    const client = await connectForActions(flags, context)
    const { keys } = await client.act<{ keys: ApiKeySummary[] }>('GET', 'keys', {})
    context.out.write(flags.json ? `${JSON.stringify(keys, null, 2)}\n` : formatKeys(keys, Date.now()))
  })
  const revoke = token.command('revoke').description('have one mean nothing any more, on all nodes').argument('<ID>')
  addAdminFlags(revoke).action(async (id: string, flags: AdminFlags) => {
    const client = await connectForActions(flags, context)
    const revoked = await client.act<{ id: string }>('DELETE', 'keys', { id })
    context.out.write(flags.json ? `${JSON.stringify(revoked)}\n` : `revoked ${printable(id)}\n`)
  })
}

async function newKey({ user, repositories, actions, expires, name }: NewFlags): Promise<Record<string, unknown>> {
  const { parseDuration } = await import('@layermesh/node')
  const lifetimeMs = parseDuration(expires)
  if (!lifetimeMs) throw new CliFailure('USAGE', `--expires: expected a duration such as 12h or 90d, not ${expires}`)
  const list = actions.split(',').map((action) => action.trim())
  const scopes = repositories.map((pattern) => ({ repositories: pattern, actions: list }))
  return { user, scopes, lifetimeMs, ...(name === undefined ? {} : { name }) }
}

/** @param now in ms since 1970 */
function formatKeys(keys: readonly ApiKeySummary[], now: number): string {
  if (keys.length === 0) return 'there are no API keys; make one with: layermesh token new\n'
  return formatTable(
    ['id', 'user', 'name', 'scopes', 'expires', 'made by'],
    keys.map(({ id, user, name, scopes, expiresAt, seed }) => [
      id,
      user,
      name === '' ? '-' : name,
      scopes.map(({ repositories, actions }) => `${repositories} (${actions.join(',')})`).join(' '),
      `in ${formatAge(Date.parse(expiresAt) - now)}`,
      shortPeer(seed)
    ])
  )
}

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Command, Option } from 'commander'
import { AdminClient } from './admin-client.ts'
import type { CommandContext } from './context.ts'
import { CliFailure } from './failure.ts'

const DEFAULT_DATA = './data'

export interface ActionFlags {
  readonly admin?: string
  readonly data: string
  readonly json?: true
}

/** Adds the flags of all commands that change a running node, for which its admin token is needed. */
export function addActionFlags(command: Command, { environment }: CommandContext): Command {
  return command
    .addOption(new Option('--admin <URL>', 'where the admin listener of the node is (or LAYERMESH_ADMIN)'))
    .addOption(
      new Option('--data <DIR>', 'its data directory, which has the admin token (or LAYERMESH_ADMIN_TOKEN)').default(
        environment.LAYERMESH_DATA_DIR || DEFAULT_DATA
      )
    )
    .option('--json', 'print JSON')
}

/**
 * A client that may change the node: its address from `--admin`, the environment or the node's own note in its data
 * directory, its token from the environment or from there.
 */
export async function connectForActions(flags: ActionFlags, { environment }: CommandContext): Promise<AdminClient> {
  const { ADMIN_TOKEN_FILE, readNodeFile } = await import('@layermesh/node')
  const url = flags.admin ?? environment.LAYERMESH_ADMIN ?? (await readNodeFile(flags.data))?.admin
  if (url === undefined) {
    throw new CliFailure(
      'FAILED',
      `no node runs on ${flags.data}; start it, or say with --data DIR or --admin URL which one is meant`
    )
  }
  const token = environment.LAYERMESH_ADMIN_TOKEN ?? (await readToken(join(flags.data, ADMIN_TOKEN_FILE)))
  return new AdminClient(url, token)
}

async function readToken(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (cause) {
    throw new CliFailure(
      'FAILED',
      `the admin token ${path} can not be read (${(cause as NodeJS.ErrnoException).code}); run this as the user of the node, or say with --data DIR where its data is`,
      { cause }
    )
  }
}

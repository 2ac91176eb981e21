import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Command, Option } from 'commander'
import { AdminClient, adminUrl } from './admin-client.ts'
import type { CommandContext } from './context.ts'
import { CliFailure } from './failure.ts'

const DEFAULT_ADMIN = 'http://127.0.0.1:5001'

/** How a command finds the running node that it is about. */
export interface AdminFlags {
  readonly admin?: string
  readonly data?: string
  readonly json?: true
}

/** Adds the flags of all commands that ask a running node. */
export function addAdminFlags(command: Command): Command {
  return command
    .addOption(new Option('--admin <URL>', 'where the admin listener of the node is (or LAYERMESH_ADMIN)'))
    .addOption(new Option('--data <DIR>', 'its data directory, which has the admin token (or LAYERMESH_ADMIN_TOKEN)'))
    .option('--json', 'print JSON')
}

/**
 * A client that looks at the node: its address from `--admin`, the environment or the note of the node that runs on
 * `--data`, else where nodes are by default; with the admin token if that can be read.
 */
export async function connectForViews(flags: AdminFlags, { environment }: CommandContext): Promise<AdminClient> {
  const given = flags.admin || environment.LAYERMESH_ADMIN
  const place = await placeOf(flags, environment).catch(() => undefined)
  const url = given ?? (flags.data === undefined ? DEFAULT_ADMIN : place?.admin)
  if (url === undefined) throw nothingRuns(flags.data ?? '')
  const token =
    environment.LAYERMESH_ADMIN_TOKEN ?? (place && (await tokenFor(url, flags, place).catch(() => undefined)))
  return new AdminClient(url, token)
}

/** A client that may change the node: its address as for views, or from the data directory; its token is needed. */
export async function connectForActions(flags: AdminFlags, { environment }: CommandContext): Promise<AdminClient> {
  const given = flags.admin || environment.LAYERMESH_ADMIN
  const token = environment.LAYERMESH_ADMIN_TOKEN
  if (given !== undefined && token !== undefined) return new AdminClient(given, token)
  const place = await placeOf(flags, environment)
  const url = given ?? place.admin
  if (url === undefined) throw nothingRuns(place.dataDir)
  return new AdminClient(url, token ?? (await tokenFor(url, flags, place)))
}

interface Place {
  readonly dataDir: string
  /** Where the node that runs there is, by its own note. */
  readonly admin: string | undefined
}

/** The data directory of the flag, else of the settings that a node started here would have. */
async function placeOf({ data }: AdminFlags, environment: CommandContext['environment']): Promise<Place> {
  const { loadConfig, readNodeFile } = await import('@layermesh/node')
  const dataDir = data ?? (await loadConfig({ environment })).config.dataDir
  return { dataDir, admin: (await readNodeFile(dataDir))?.admin }
}

/** A token is for the node that it belongs to: to another address it goes only when its directory was named. */
async function tokenFor(url: string, { data }: AdminFlags, { dataDir, admin }: Place): Promise<string> {
  if (data === undefined && (admin === undefined || adminUrl(admin).origin !== adminUrl(url).origin)) {
    throw new CliFailure(
      'FAILED',
      `the node at ${url} does not run on ${dataDir}; say with --data DIR where its data is, or give its admin token as LAYERMESH_ADMIN_TOKEN`
    )
  }
  const { ADMIN_TOKEN_FILE } = await import('@layermesh/node')
  const path = join(dataDir, ADMIN_TOKEN_FILE)
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    throw new CliFailure(
      'FAILED',
      `the admin token ${path} can not be read (${code}); run this as the user of the node, or say with --data DIR where its data is`,
      { cause }
    )
  }
}

function nothingRuns(dataDir: string): CliFailure {
  return new CliFailure(
    'FAILED',
    `no node runs on ${dataDir}; start it, or say with --data DIR or --admin URL which one is meant`
  )
}

import { type Command, Option } from 'commander'
import { type AdminFlags, addAdminFlags, connectForViews } from './admin-place.ts'
import type { RegistryApi } from './archive/registry-api.ts'
import type { CommandContext } from './context.ts'
import { CliFailure } from './failure.ts'

/** How a command finds the registry that it is about, and who it is there. */
export interface RegistryFlags extends AdminFlags {
  readonly registry?: string
  readonly username?: string
  readonly passwordStdin?: true
  readonly caFile?: string
}

/** Adds the flags of commands that push to a registry or pull from it. */
export function addRegistryFlags(command: Command): Command {
  command
    .addOption(new Option('--registry <URL>', 'where the registry is (default: that of the running node)'))
    .option('--username <NAME>', 'who pushes or pulls, where the registry wants to know')
    .option('--password-stdin', 'read the password, or an API key, from standard input')
    .option('--ca-file <FILE>', 'certificates to trust in place of those of the system')
  return addAdminFlags(command)
}

/** A registry, and its address as names of images have it. */
export interface ConnectedRegistry {
  readonly api: RegistryApi
  readonly url: string
}

/** @throws {CliFailure} */
export async function connectToRegistry(flags: RegistryFlags, context: CommandContext): Promise<ConnectedRegistry> {
  const { registry, username, passwordStdin, caFile } = flags
  if ((username === undefined) !== (passwordStdin === undefined)) {
    throw new CliFailure('USAGE', '--username and --password-stdin go together')
  }
  const url = registry ?? reachable((await (await connectForViews(flags, context)).status()).registry)
  const password = username === undefined ? '' : await context.readSecret(`password of ${username}: `)
  const { RegistryApi } = await import('./archive/registry-api.ts')
  const api = await RegistryApi.connect(url, {
    ...(username === undefined ? {} : { account: { username, password } }),
    ...(caFile === undefined ? {} : { caFile })
  })
  return { api, url }
}

/** A node that listens on all addresses is reached by the loopback one. */
function reachable(registry: string): string {
  const url = new URL(registry)
  if (url.hostname === '0.0.0.0') url.hostname = '127.0.0.1'
  if (url.hostname === '[::]') url.hostname = '[::1]'
  return url.origin
}

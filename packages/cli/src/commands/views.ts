import { type Command, Option } from 'commander'
import { AdminClient } from '../admin-client.ts'
import type { CommandContext } from '../context.ts'
import { formatImages, formatPeers, formatStatus, formatTransfers } from '../views.ts'

export interface AdminFlags {
  readonly admin: string
  readonly json?: true
}

const DEFAULT_ADMIN = 'http://127.0.0.1:5001'

/** Adds the flags of all commands that ask a running node. */
export function addAdminFlags(command: Command, { environment }: CommandContext): Command {
  const admin = environment.LAYERMESH_ADMIN || DEFAULT_ADMIN
  return command
    .addOption(
      new Option('--admin <URL>', 'where the admin listener of the node is (or LAYERMESH_ADMIN)').default(admin)
    )
    .option('--json', 'print JSON')
}

/** `status`, `peers`, `images`, `transfers`: what a running node knows. */
export function addViewCommands(program: Command, context: CommandContext): void {
  const add = <T>(
    name: string,
    help: string,
    ask: (client: AdminClient) => Promise<T>,
    format: (value: T) => string
  ) => {
    addAdminFlags(program.command(name).description(help), context).action(async ({ admin, json }: AdminFlags) => {
      const value = await ask(new AdminClient(admin))
      context.out.write(json ? `${JSON.stringify(value, null, 2)}\n` : format(value))
    })
  }
  const now = () => Date.now()
  add(
    'status',
    'what a running node is and holds',
    (client) => client.status(),
    (value) => formatStatus(value, now())
  )
  add('peers', 'the nodes that it is connected to', (client) => client.peers(), formatPeers)
  add(
    'images',
    'the images that it knows by tag',
    (client) => client.images(),
    (value) => formatImages(value, now())
  )
  add('transfers', 'the blobs that are arriving', (client) => client.transfers(), formatTransfers)
}

import type { Command } from 'commander'
import type { AdminClient } from '../admin-client.ts'
import { type AdminFlags, addAdminFlags, connectForViews } from '../admin-place.ts'
import type { CommandContext } from '../context.ts'
import { formatImages, formatPeers, formatStatus, formatTransfers } from '../views.ts'

/** `status`, `peers`, `images`, `transfers`: what a running node knows. */
export function addViewCommands(program: Command, context: CommandContext): void {
  const add = <T>(
    name: string,
    help: string,
    ask: (client: AdminClient) => Promise<T>,
    format: (value: T) => string
  ) => {
    addAdminFlags(program.command(name).description(help)).action(async (flags: AdminFlags) => {
      const value = await ask(await connectForViews(flags, context))
      context.out.write(flags.json ? `${JSON.stringify(value, null, 2)}\n` : format(value))
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

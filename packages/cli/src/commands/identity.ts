import type { Command } from 'commander'
import type { CommandContext } from '../context.ts'
import { addSettingFlags, CONFIG_FLAG, DATA_FLAG, readSettingFlags } from '../flags.ts'

/** `keys show` and `secret new`. */
export function addIdentityCommands(program: Command, context: CommandContext): void {
  const keys = program.command('keys').description('the key of a node')
  const show = keys.command('show').description('print the peer id, making the key when there is none')
  addSettingFlags(show, [DATA_FLAG])
    .addOption(CONFIG_FLAG)
    .option('--json', 'print JSON')
    .action(async ({ config: file, json }: { config?: string; json?: true }) => {
      const { loadConfig, loadOrCreateKey, peerIdOf } = await import('@layermesh/node')
      const { environment, out } = context
      const flags = readSettingFlags(show, [DATA_FLAG])
      const { config } = await loadConfig({ environment, flags, ...(file === undefined ? {} : { file }) })
      const peerId = peerIdOf(await loadOrCreateKey(config.dataDir))
      out.write(json ? `${JSON.stringify({ peerId })}\n` : `${peerId}\n`)
    })
  program
    .command('secret')
    .description('the secret that all nodes of a cluster share')
    .command('new')
    .description('print a fresh one; keep it in a file that only the node can read')
    .action(async () => {
      const { newClusterSecret } = await import('@layermesh/node')
      context.out.write(`${newClusterSecret()}\n`)
    })
}

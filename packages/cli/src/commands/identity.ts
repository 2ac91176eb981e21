import type { Command } from 'commander'
import type { CommandContext } from '../context.ts'
import { CliFailure } from '../failure.ts'
import { addSettingFlags, CONFIG_FLAG, DATA_FLAG, readSettingFlags } from '../flags.ts'

/** `keys show`, `keys root new`, `keys root show` and `secret new`. */
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
  addRootCommands(keys, context)
  program
    .command('secret')
    .description('the secret that all nodes of a cluster share')
    .command('new')
    .description(
      'print a fresh one; keep it in a file that only the node can read, beside the old one while they change'
    )
    .action(async () => {
      const { newClusterSecret } = await import('@layermesh/node')
      context.out.write(`${newClusterSecret()}\n`)
    })
}

function addRootCommands(keys: Command, context: CommandContext): void {
  const root = keys.command('root').description('the offline key that says which seeds nodes trust')
  root
    .command('new')
    .description('make one, and print its peer id; keep the file off line')
    .argument('<FILE>')
    .action(async (file: string) => {
      const { createKeyFile, peerIdOf } = await import('@layermesh/node')
      context.out.write(`${peerIdOf(await createKeyFile(file).catch(asFailure))}\n`)
    })
  root
    .command('show')
    .description('print its peer id, which is seedSet.root of the nodes')
    .argument('<FILE>')
    .action(async (file: string) => {
      const { loadKeyFile, peerIdOf } = await import('@layermesh/node')
      context.out.write(`${peerIdOf(await loadKeyFile(file).catch(asFailure))}\n`)
    })
}

/** The message as it is: it names the file. */
function asFailure(cause: unknown): never {
  throw new CliFailure('FAILED', cause instanceof Error ? cause.message : String(cause), { cause })
}

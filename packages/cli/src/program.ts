import { createRequire } from 'node:module'
import { Command } from 'commander'
import { addConfigCommands } from './commands/config.ts'
import { addDemoCommand } from './commands/demo.ts'
import { addExportCommand } from './commands/export.ts'
import { addHistoryCommands } from './commands/history.ts'
import { addIdentityCommands } from './commands/identity.ts'
import { addImportCommand } from './commands/import.ts'
import { addMembershipCommands } from './commands/membership.ts'
import { addNodeCommand } from './commands/node.ts'
import { addPrefetchCommand } from './commands/prefetch.ts'
import { addPullCommand } from './commands/pull.ts'
import { addRetentionCommands } from './commands/retention.ts'
import { addSeedsCommands } from './commands/seeds.ts'
import { addSetupCommands } from './commands/setup.ts'
import { addStoreCommands } from './commands/store.ts'
import { addTokenCommands } from './commands/token.ts'
import { addUserCommands } from './commands/user.ts'
import { addVerifyCommand } from './commands/verify.ts'
import { addViewCommands } from './commands/views.ts'
import { addWebhookCommands } from './commands/webhooks.ts'
import type { CommandContext } from './context.ts'

const VERSION: string = createRequire(import.meta.url)('../package.json').version

const EXAMPLES = `
Examples:
  layermesh node --role seed                         a node that is its own seed, on this host
  layermesh node --join ADDR --trust PEER_ID         a node that joins it
  layermesh pull team/app:1                          bring an image into the node of this host
  layermesh setup docker                             have Docker on this host ask the node first
  layermesh demo                                     see a mesh of four nodes at work
`

/** The `layermesh` command with all that it can do. It throws instead of ending the process. */
export function createProgram(context: CommandContext): Command {
  const program = new Command('layermesh')
    .description('A peer-to-peer mesh that brings container images to every host of a cluster.')
    .version(VERSION, '-V, --version', 'print the version')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.out.write(text),
      writeErr: (text) => context.err.write(text),
      getOutHelpWidth: () => context.out.columns,
      getErrHelpWidth: () => context.err.columns
    })
    .addHelpText('after', EXAMPLES)
  addNodeCommand(program, context)
  addViewCommands(program, context)
  addPullCommand(program, context)
  addPrefetchCommand(program, context)
  addSetupCommands(program, context)
  addImportCommand(program, context)
  addExportCommand(program, context)
  addHistoryCommands(program, context)
  addRetentionCommands(program, context)
  addIdentityCommands(program, context)
  addSeedsCommands(program, context)
  addUserCommands(program, context)
  addTokenCommands(program, context)
  addMembershipCommands(program, context)
  addConfigCommands(program, context)
  addStoreCommands(program, context)
  addVerifyCommand(program, context)
  addWebhookCommands(program, context)
  addDemoCommand(program, context)
  nameHelp(program, program.name())
  return program
}

/** What is wrong with the words after a command, its own help tells. */
function nameHelp(command: Command, path: string): void {
  command.showHelpAfterError(`see: ${path} --help`)
  for (const one of command.commands) nameHelp(one, `${path} ${one.name()}`)
}

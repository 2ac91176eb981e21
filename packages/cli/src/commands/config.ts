import type { LoadedConfig } from '@layermesh/node'
import { type Command, Option } from 'commander'
import type { CommandContext } from '../context.ts'
import { CONFIG_FLAG } from '../flags.ts'
import { formatSettings } from '../settings-text.ts'

interface ConfigFlags {
  readonly config?: string
  readonly json?: true
}

/** `config check`, `config show`, `config schema`. */
export function addConfigCommands(program: Command, context: CommandContext): void {
  const config = program.command('config').description('the settings of a node')
  const load = async ({ config: file }: ConfigFlags): Promise<LoadedConfig> => {
    const { loadConfig } = await import('@layermesh/node')
    return loadConfig({ environment: context.environment, ...(file === undefined ? {} : { file }) })
  }
  config
    .command('check')
    .description('say what is wrong with the settings, if anything is')
    .addOption(CONFIG_FLAG)
    .action(async (flags: ConfigFlags) => {
      const loaded = await load(flags)
      await checkFiles(loaded)
      for (const warning of loaded.warnings) context.err.write(`warning: ${warning}\n`)
      context.out.write('the settings are right\n')
    })
  config
    .command('show')
    .description('print all settings and where each comes from; no secret is among them')
    .addOption(CONFIG_FLAG)
    .addOption(new Option('--json', 'print JSON'))
    .action(async (flags: ConfigFlags) => {
      const loaded = await load(flags)
      const { SETTING_KEYS, formatOrigin } = await import('@layermesh/node')
      const originOf = (path: readonly string[]) => {
        const origin = loaded.origin(path)
        return origin === undefined ? 'default' : formatOrigin(origin)
      }
      const json = () => `${JSON.stringify(loaded.settings, null, 2)}\n`
      context.out.write(flags.json ? json() : formatSettings(loaded.settings, SETTING_KEYS, originOf))
    })
  config
    .command('schema')
    .description('print the JSON schema of the settings file')
    .action(async () => {
      const { settingsJsonSchema } = await import('@layermesh/node')
      context.out.write(`${JSON.stringify(settingsJsonSchema(), null, 2)}\n`)
    })
}

/** What the settings name must be usable too. */
async function checkFiles({ config }: LoadedConfig): Promise<void> {
  const { checkAccessFiles, checkUpstreamFiles, checkWebhookFiles, readClusterSecrets, readTicketFile } = await import(
    '@layermesh/node'
  )
  if (config.mesh.secretFile !== undefined) await readClusterSecrets(config.mesh.secretFile)
  if (config.mesh.ticketFile !== undefined) await readTicketFile(config.mesh.ticketFile)
  await checkWebhookFiles(config)
  await checkUpstreamFiles(config)
  await checkAccessFiles(config)
}

import type { LoadedConfig, Logger, NodeConfig, RunningNode } from '@layermesh/node'
import type { Command } from 'commander'
import type { CommandContext } from '../context.ts'
import { EXIT, explain } from '../failure.ts'
import { addSettingFlags, CONFIG_FLAG, NODE_FLAGS, readSettingFlags } from '../flags.ts'
import { StopRequest } from '../stop-request.ts'

/** What is in flight may finish within this time after a stop was asked for. */
const STOP_GRACE_MS = 6_000
/** After this time the process ends, whatever it waits for. */
const STOP_LIMIT_MS = 9_500

/** `node`: runs a node until it is told to stop. */
export function addNodeCommand(program: Command, context: CommandContext): void {
  const command = program.command('node').description('run a node').addOption(CONFIG_FLAG)
  addSettingFlags(command, NODE_FLAGS).action(async ({ config: file }: { config?: string }) => {
    const { createLog, loadConfig, startNode } = await import('@layermesh/node')
    const flags = readSettingFlags(command, NODE_FLAGS)
    const { environment } = context
    const load = () => loadConfig({ environment, flags, ...(file === undefined ? {} : { file }) })
    const { config, warnings } = await load()
    const log = createLog(config.log)
    for (const warning of warnings) log.warn(warning)
    const onTerminal = context.out.isTerminal || context.err.isTerminal
    const stop = new StopRequest(process, STOP_LIMIT_MS, { onTerminal })
    let node: RunningNode | undefined
    if (!onTerminal) process.on('SIGHUP', () => node && void reload(node, load, log))
    endOnFatalErrors((error) => log.fatal({ err: error }, 'the node failed and ends'))
    node = await startNode(config, { log })
    await greet(context, node, config)
    await stop.requested
    await node.stop(AbortSignal.timeout(STOP_GRACE_MS))
  })
}

/** Opens logs anew, and takes other rules of access; settings that are wrong change nothing. */
async function reload(node: RunningNode, load: () => Promise<LoadedConfig>, log: Logger): Promise<void> {
  await node.reopenLogs()
  try {
    node.setAccessRules((await load()).config)
  } catch (error) {
    log.error(`the settings can not be taken: ${explain(error).line}`)
  }
}

async function greet({ out }: CommandContext, { info }: RunningNode, config: NodeConfig): Promise<void> {
  if (!out.isTerminal && config.role !== 'seed') return
  const { welcome } = await import('../welcome.ts')
  out.write(welcome(info, config))
}

/** What nobody caught leaves the node in a state that nobody knows: better to end, and be started again. */
function endOnFatalErrors(report: (error: unknown) => void): void {
  process.on('uncaughtException', (error) => {
    report(error)
    process.stderr.write(`layermesh: ${explain(error).line}\n`)
    process.exit(EXIT.failed)
  })
}

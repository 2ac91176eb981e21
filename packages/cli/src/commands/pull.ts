import type { Command } from 'commander'
import { type AdminFlags, addAdminFlags, connectForViews } from '../admin-place.ts'
import type { CommandContext } from '../context.ts'
import { readDuration } from '../durations.ts'
import { CliFailure } from '../failure.ts'
import { createPullDisplay } from '../pull-display.ts'
import { checkReference, withoutRegistry } from '../registry-name.ts'

interface PullFlags extends AdminFlags {
  readonly deadline?: string
}

/** `pull`: brings an image into a running node, and shows how far it is. */
export function addPullCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('pull')
    .description('bring an image into a running node')
    .argument('<REF>', 'NAME[:TAG][@DIGEST]')
    .option('--deadline <DURATION>', 'give up after so long, such as 10m; what came is kept')
  addAdminFlags(command).action(async (reference: string, flags: PullFlags) => {
    const client = await connectForViews(flags, context)
    const deadlineMs = flags.deadline === undefined ? undefined : await readDuration('--deadline', flags.deadline)
    checkReference(reference)
    const { registry } = await client.status()
    const display = createPullDisplay(context.out, flags.json === true)
    for await (const event of client.pull(withoutRegistry(reference, registry), deadlineMs)) {
      display.show(event)
      if (event.type === 'done') return
      if (event.type === 'error')
        throw new CliFailure('FAILED', `${reference} could not be pulled: ${event.error.message}`)
    }
    throw new CliFailure('FAILED', `the node ended the pull of ${reference} early; ask again to go on`)
  })
}

import type { Command } from 'commander'
import { type AdminFlags, addAdminFlags, connectForActions } from '../admin-place.ts'
import type { CommandContext } from '../context.ts'
import { CliFailure } from '../failure.ts'
import { formatBytes } from '../format.ts'
import { createVerifyDisplay } from '../verify-display.ts'

interface VerifyFlags extends AdminFlags {
  readonly rate?: string
}

/** `verify`: has a running node read all its content again. */
export function addVerifyCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('verify')
    .description('read all content of a running node again, and fetch anew what the disk does not give back')
    .option('--rate <RATE>', 'read so much in a second, such as 32MiB/s (default: store.verify.rate)')
  addAdminFlags(command).action(async (flags: VerifyFlags) => {
    const bytesPerSecond = flags.rate === undefined ? undefined : await readRate(flags.rate)
    const client = await connectForActions(flags, context)
    const display = createVerifyDisplay(context.out, flags.json === true)
    for await (const event of client.verify(bytesPerSecond === undefined ? {} : { bytesPerSecond })) {
      display.show(event)
      if (event.type === 'error') throw new CliFailure('FAILED', `the store was not verified: ${event.error.message}`)
      if (event.type !== 'done') continue
      const { blobs, bytes, repaired, lost } = event.result
      if (lost > 0) throw new CliFailure('FAILED', `${lost} of ${blobs} blobs are bad, and nobody could give them`)
      if (flags.json) return
      const bad = repaired === 0 ? 'all as they were stored' : `${repaired} were bad and were fetched anew`
      context.out.write(`${blobs} blobs, ${formatBytes(bytes)}: ${bad}\n`)
      return
    }
    throw new CliFailure('FAILED', 'the node ended the verification early; ask again to begin anew')
  })
}

async function readRate(text: string): Promise<number> {
  const { parseRate } = await import('@layermesh/node')
  const rate = parseRate(text)
  if (rate !== undefined && rate > 0 && Number.isFinite(rate)) return Math.max(1, Math.floor(rate))
  throw new CliFailure('USAGE', `--rate: expected a rate such as 32MiB/s or 400Mbit/s, not ${text}`)
}

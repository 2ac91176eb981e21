import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command } from 'commander'
import type { CommandContext } from '../context.ts'
import { CliFailure } from '../failure.ts'

const LIMIT_MS = 180_000
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** `demo`: a mesh of four nodes on this host, at work. */
export function addDemoCommand(program: Command, context: CommandContext): void {
  program
    .command('demo')
    .description('see a seed and three nodes share an image, on this host and within a minute; nothing is left behind')
    .action(async () => {
      const { runDemo } = await import('../demo/demo.ts')
      const { entry, environment, out } = context
      const interrupted = new AbortController()
      for (const name of SIGNALS) process.once(name, () => interrupted.abort())
      const signal = AbortSignal.any([interrupted.signal, AbortSignal.timeout(LIMIT_MS)])
      const directory = await mkdtemp(join(tmpdir(), 'layermesh-demo-'))
      try {
        await runDemo({ entry, directory, environment: { ...environment }, signal, say: (text) => out.write(text) })
      } catch (error) {
        if (interrupted.signal.aborted) throw new CliFailure('FAILED', 'the demo was interrupted', { cause: error })
        if (signal.aborted)
          throw new CliFailure('FAILED', `the demo was not done within ${LIMIT_MS / 1000} s`, { cause: error })
        throw error
      } finally {
        await rm(directory, { recursive: true, force: true })
      }
    })
}

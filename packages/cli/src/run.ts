import { CommanderError } from 'commander'
import type { CommandContext } from './context.ts'
import { EXIT, explain } from './failure.ts'
import { createProgram } from './program.ts'

const CHATTY = new Set(['debug', 'trace'])

/** Runs one command line. @returns the exit code: 0 done, 1 failed, 2 wrong usage */
export async function runCommandLine(args: readonly string[], context: CommandContext): Promise<number> {
  try {
    await createProgram(context).parseAsync([...args], { from: 'user' })
    return EXIT.done
  } catch (error) {
    if (error instanceof CommanderError) return exitCodeOf(error)
    const { line, exitCode } = explain(error)
    context.err.write(`layermesh: ${line}\n`)
    if (error instanceof Error && wantsStack(args, context)) context.err.write(`${error.stack}\n`)
    return exitCode
  }
}

/** Commander has said already what was wrong; it counts help that was asked for as 0, help for want of a command as 1. */
function exitCodeOf({ exitCode }: CommanderError): number {
  return exitCode === 0 ? EXIT.done : EXIT.usage
}

function wantsStack(args: readonly string[], { environment }: CommandContext): boolean {
  const level = args[args.indexOf('--log-level') + 1] ?? ''
  return CHATTY.has(args.includes('--log-level') ? level : (environment.LAYERMESH_LOG_LEVEL ?? ''))
}

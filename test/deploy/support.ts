import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommandLine } from '../../packages/cli/src/run.ts'
import { fakeContext } from '../../packages/cli/src/testing/fake-context.ts'

/** The top of the repository. */
export const TOP = join(import.meta.dirname, '../..')

export function readTop(...path: string[]): Promise<string> {
  return readFile(join(TOP, ...path), 'utf8')
}

/** What `layermesh SUBCOMMAND --help` prints. */
export async function helpOf(...subcommand: string[]): Promise<string> {
  const context = fakeContext()
  await runCommandLine([...subcommand, '--help'], context)
  return context.out.text
}

/** Those of the flags that `layermesh SUBCOMMAND` does not have. */
export async function unknownFlags(subcommand: readonly string[], flags: readonly string[]): Promise<string[]> {
  const help = await helpOf(...subcommand)
  const known = new Set(help.match(/--[a-z][a-z-]*/g))
  return flags.filter((flag) => !known.has(flag))
}

/** The flags in a line of shell, without what they are set to. */
export function flagsIn(text: string): string[] {
  return [...text.matchAll(/(?:^|\s)(--[a-z][a-z-]*)/g)].flatMap(([, flag]) => flag ?? [])
}

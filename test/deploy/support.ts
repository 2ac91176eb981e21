import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runOk } from '../support/process.ts'

/** The top of the repository. */
export const TOP = join(import.meta.dirname, '../..')

export function readTop(...path: string[]): Promise<string> {
  return readFile(join(TOP, ...path), 'utf8')
}

const COMMAND = ['--conditions=layermesh-source', join(TOP, 'packages/cli/src/main.ts')]
const helps = new Map<string, Promise<string>>()

/** What `layermesh SUBCOMMAND --help` prints, from the sources. */
export function helpOf(...subcommand: string[]): Promise<string> {
  const key = subcommand.join(' ')
  const help = helps.get(key) ?? runOk(process.execPath, [...COMMAND, ...subcommand, '--help'])
  helps.set(key, help)
  return help
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

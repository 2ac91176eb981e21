import { createTwoFilesPatch } from 'diff'
import type { CommandContext } from '../context.ts'
import { printable } from '../format.ts'
import { reloadDocker, restartContainerd } from './facts.ts'
import { type FileChange, isChange, type Prepared } from './setup.ts'
import { RELOAD_DOCKER, RESTART_CONTAINERD } from './wish.ts'

/** How it is told, and what is done then. */
export interface ReportFlags {
  readonly dryRun?: true
  readonly json?: true
  /** Have daemons go by it. */
  readonly reload?: true
  readonly pidFile?: string
}

/**
 * Says what was done, or would be; what stays as it is does not show, since there may be passwords in it.
 * @param title whom it is about
 * @throws CliFailure when a daemon does not go by it
 */
export async function report(
  title: string,
  prepared: Prepared,
  flags: ReportFlags,
  context: CommandContext
): Promise<void> {
  const changed = prepared.files.filter(isChange)
  const changes = changed.map(describe)
  const commands = [...new Set(changed.flatMap(({ renewal }) => renewal ?? []))]
  const done = flags.reload === true && !flags.dryRun ? commands.filter((command) => RENEWALS.has(command)) : []
  const left = commands.filter((command) => !done.includes(command))
  const { notes } = prepared
  const refusals = prepared.refusals.map(({ message }) => message)
  if (flags.json) {
    const json = { setup: title, dryRun: flags.dryRun === true, changes, notes, commands: left, done, refusals }
    context.out.write(`${JSON.stringify(json, null, 2)}\n`)
  } else {
    if (changes.length === 0) context.out.write(`${title}: nothing to change\n`)
    const would = flags.dryRun ? 'would ' : ''
    for (const { path, action, diff } of changes) {
      context.out.write(`${title}: ${would}${action} ${printable(path)}\n${diff}`)
    }
    for (const note of notes) context.err.write(`note: ${printable(note)}\n`)
    for (const command of left) context.out.write(`${title}: to go by it: ${command}\n`)
  }
  for (const command of done) await RENEWALS.get(command)?.(flags)
}

/** What is done for those who ask for it; a restart of Docker would stop containers. */
const RENEWALS: ReadonlyMap<string, (flags: ReportFlags) => Promise<void>> = new Map([
  [RELOAD_DOCKER, ({ pidFile = '' }) => reloadDocker(pidFile)],
  [RESTART_CONTAINERD, () => restartContainerd()]
])

/** A change as people and programs are told of it. */
interface DescribedChange {
  readonly path: string
  readonly action: 'make' | 'change' | 'remove'
  /** The lines that change, as `diff -U0` shows them. */
  readonly diff: string
}

function describe(change: FileChange): DescribedChange {
  return { path: change.path, action: verbOf(change), diff: diffOf(change) }
}

function diffOf({ path, before, after }: FileChange): string {
  const name = (bytes: Buffer | undefined) => (bytes === undefined ? '/dev/null' : path)
  const text = (bytes: Buffer | undefined) => bytes?.toString() ?? ''
  const patch = createTwoFilesPatch(name(before), name(after), text(before), text(after), '', '', { context: 0 })
  return mask(patch.slice(patch.indexOf('---')))
}

/** Passwords may stand in lines that change, as when all of a file is one line. */
function mask(text: string): string {
  return text
    .replace(/\/\/[^/@\s"']+@/g, '//***@')
    .replace(/((?:authorization|auth|password|secret|token)["']?\s*[:=]\s*\[?\s*)("[^"]*"|'[^']*')/gi, '$1"***"')
}

function verbOf({ before, after }: FileChange): DescribedChange['action'] {
  if (before === undefined) return 'make'
  return after === undefined ? 'remove' : 'change'
}

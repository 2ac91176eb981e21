/**
 * Has a process kill itself before one of the steps in which it changes files: `--import` this file, and say in
 * DIES_AT_STEP before which. So a program dies as by kill -9 at each moment that matters, without knowing of tests.
 */
import fs, { type FileHandle } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'

let stepsLeft = Number(process.env.DIES_AT_STEP)

function step(): void {
  if (stepsLeft === 0) process.kill(process.pid, 'SIGKILL')
  stepsLeft -= 1
}

/** Has each call of a function be a step, if `counts` says so of its arguments. */
function watch<Name extends string>(
  owner: Record<Name, (...args: never[]) => unknown>,
  name: Name,
  counts = (..._args: unknown[]) => true
): void {
  const original = owner[name]
  owner[name] = function (this: unknown, ...args: never[]) {
    if (counts(...args)) step()
    return original.apply(this, args)
  }
}

const probe = await fs.open(import.meta.filename)
const handles = Object.getPrototypeOf(probe) as FileHandle
await probe.close()

for (const name of ['rename', 'rm', 'mkdir', 'rmdir'] as const) watch(fs, name)
watch(fs, 'open', (_path, flags) => flags === 'wx')
for (const name of ['writeFile', 'sync'] as const) watch(handles, name)
syncBuiltinESMExports()

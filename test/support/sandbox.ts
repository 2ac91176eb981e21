import { mkdtempSync } from 'node:fs'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, type RunnerTestSuite } from 'vitest'
import { type CommandOptions, ManagedProcess, run } from './process.ts'

/**
 * Everything that a test file leaves behind if nobody tidies up: one temporary directory, the processes that were
 * started, what they mounted. The path is short, since sockets in it must stay under 108 characters.
 */
export class Sandbox {
  readonly directory = mkdtempSync(join(tmpdir(), 'lm-'))
  readonly #teardown: (() => Promise<unknown>)[] = []
  readonly #processes: ManagedProcess[] = []

  /** A directory of this sandbox, made when it is not there. */
  async makeDirectory(name: string): Promise<string> {
    const path = join(this.directory, name)
    await mkdir(path, { recursive: true })
    return path
  }

  /** Starts a process that is stopped when the sandbox closes. */
  start(name: string, command: string, args: readonly string[], options?: CommandOptions): ManagedProcess {
    const child = new ManagedProcess(name, command, args, options)
    this.#processes.push(child)
    this.defer(() => child.stop())
    return child
  }

  /** Has `task` run when the sandbox closes; the last one deferred runs first. */
  defer(task: () => Promise<unknown>): void {
    this.#teardown.push(task)
  }

  /** The last lines of every process, for the report of a failed test. */
  logs(): string {
    return this.#processes.map((child) => `── ${child.name} (pid ${child.pid})\n${child.log.tail()}`).join('\n')
  }

  /** Lines of all processes that match, of the last that each has printed. */
  findInLogs(pattern: RegExp): string[] {
    return this.#processes.flatMap(({ log }) => log.findAll(pattern))
  }

  /** Stops, unmounts and removes everything, also when some of it fails. */
  async close(): Promise<void> {
    const failures: unknown[] = []
    for (const task of [...this.#teardown.splice(0).reverse(), () => this.#remove()]) {
      await task().catch((error: unknown) => failures.push(error))
    }
    if (failures.length > 0) throw new AggregateError(failures, 'the sandbox did not close cleanly')
  }

  async #remove(): Promise<void> {
    for (const mount of await mountsBelow(this.directory)) await run('umount', ['-l', mount])
    await rm(this.directory, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** A sandbox that closes after the last test of the file, and prints the logs when a test or its preparation fails. */
export function useSandbox(): Sandbox {
  const sandbox = new Sandbox()
  let reported = false
  const report = () => {
    console.error(sandbox.logs())
    reported = true
  }
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') report()
  })
  // biome-ignore lint/correctness/noEmptyPattern: vitest refuses a first parameter that is no pattern
  afterAll(async ({}, file) => {
    if (!reported && hasFailed(file)) report()
    await sandbox.close()
  })
  return sandbox
}

/** Tells whether a suite failed, or one within it: so it is when its `beforeAll` fails and no test runs. */
function hasFailed(suite: Readonly<RunnerTestSuite>): boolean {
  return suite.result?.state === 'fail' || suite.tasks.some((task) => task.type === 'suite' && hasFailed(task))
}

/** Mount points inside `directory`, innermost first (proc(5), mountinfo: the fifth field). */
async function mountsBelow(directory: string): Promise<string[]> {
  const mountInfo = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '')
  return mountInfo
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((mount) => mount.startsWith(`${directory}/`))
    .reverse()
}

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { LogTail } from './log-tail.ts'

/** Only ends what hangs. */
const RUN_TIMEOUT_MS = 240_000
/** A node gives connections a few seconds, and a machine may be slow. */
const STOP_GRACE_MS = 60_000
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024

/** How a child ended: an exit code, or the signal that ended it. */
export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface RunResult extends Exit {
  readonly stdout: string
  readonly stderr: string
}

export interface CommandOptions {
  /** Added to {@link cleanEnvironment}. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

/** What every child is given of this process's environment: no proxy, no client setting and no `LAYERMESH_…` leaks in. */
function cleanEnvironment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { PATH: process.env.PATH ?? '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', LANG: 'C.UTF-8', ...extra }
}

/** Runs a command to its end, whatever its exit code; kills it after `timeoutMs`. */
export function run(
  command: string,
  args: readonly string[],
  { env, cwd, timeoutMs = RUN_TIMEOUT_MS }: CommandOptions & { readonly timeoutMs?: number } = {}
): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      command,
      args,
      {
        env: cleanEnvironment(env),
        ...(cwd === undefined ? {} : { cwd }),
        timeout: timeoutMs,
        killSignal: 'SIGKILL',
        maxBuffer: MAX_OUTPUT_BYTES
      },
      (error, stdout, stderr) => {
        if (error !== null && child.exitCode === null && child.signalCode === null) reject(error)
        else resolve({ code: child.exitCode, signal: child.signalCode, stdout, stderr })
      }
    )
  })
}

/** Runs a command that must succeed, and gives its standard output. @throws with all that it printed when it fails. */
export async function runOk(command: string, args: readonly string[], options?: Parameters<typeof run>[2]) {
  const { code, signal, stdout, stderr } = await run(command, args, options)
  if (code === 0) return stdout
  throw new Error(`${[command, ...args].join(' ')}\nended with ${signal ?? code}\n${stdout}${stderr}`)
}

/**
 * The command line under which a program is sent SIGTERM when this process is gone, however it ended: no test leaves
 * a daemon behind, not even one that was killed.
 */
function endingWithThisProcess(command: string, args: readonly string[]): [command: string, args: readonly string[]] {
  if (process.platform !== 'linux') return [command, args]
  return ['setpriv', ['--pdeathsig', 'TERM', '--', command, ...args]]
}

/** A child process that runs beside the test, with its output kept for the report of a failure. */
export class ManagedProcess {
  readonly name: string
  readonly pid: number
  readonly exited: Promise<Exit>
  readonly log = new LogTail()
  readonly #child: ChildProcess

  constructor(name: string, command: string, args: readonly string[], { env, cwd }: CommandOptions = {}) {
    this.name = name
    const child = spawn(...endingWithThisProcess(command, args), {
      env: cleanEnvironment(env),
      ...(cwd === undefined ? {} : { cwd }),
      stdio: ['ignore', 'pipe', 'pipe']
    })
    this.#child = child
    this.pid = child.pid ?? -1
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => this.log.write(chunk))
    this.exited = new Promise((resolve) => {
      child.once('error', (error) => {
        this.log.write(`${error.message}\n`)
        resolve({ code: null, signal: null })
      })
      child.once('close', (code, signal) => resolve({ code, signal }))
    })
  }

  get running(): boolean {
    return this.pid !== -1 && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Waits for a line of output, also one printed already. @throws when the process ends, or `timeoutMs` pass, without one. */
  async waitForLine(pattern: RegExp, timeoutMs: number): Promise<string> {
    const line = await Promise.race([this.log.waitFor(pattern, timeoutMs), this.exited.then(() => undefined)])
    return line ?? this.log.find(pattern) ?? this.fail(`printed no line like ${pattern}`)
  }

  /** SIGTERM, also to a process that is frozen, and SIGKILL when it has not ended after `graceMs`. */
  async stop(graceMs = STOP_GRACE_MS): Promise<Exit> {
    if (this.running) {
      this.#child.kill('SIGTERM')
      this.#child.kill('SIGCONT')
    }
    const timer = setTimeout(() => this.kill(), graceMs)
    return this.exited.finally(() => clearTimeout(timer))
  }

  /** SIGKILL: the process has no chance to tidy up. */
  kill(): Promise<Exit> {
    if (this.running) this.#child.kill('SIGKILL')
    return this.exited
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Throws an error that ends with the process's last lines. */
  fail(why: string): never {
    throw new Error(`${this.name} ${why}\n${this.log.tail()}`)
  }
}

import { join } from 'node:path'
import { HANG_MS } from '../http.ts'
import { type ManagedProcess, runOk } from '../process.ts'
import type { Sandbox } from '../sandbox.ts'
import type { Host } from './host.ts'

/** What a host may change without the machine noticing. */
const OWN_DIRECTORIES = ['/etc', '/var/lib']

export interface HostShellOptions {
  /** Where commands run. */
  readonly directory: string
  readonly env: Readonly<Record<string, string>>
}

/** A host at which scripts run as its root, with an `/etc` and a `/var/lib` of its own that begin as the machine's. */
export class HostShell {
  readonly #sandbox: Sandbox
  readonly #host: Host
  readonly #holder: ManagedProcess
  readonly #options: HostShellOptions

  private constructor(sandbox: Sandbox, host: Host, holder: ManagedProcess, options: HostShellOptions) {
    this.#sandbox = sandbox
    this.#host = host
    this.#holder = holder
    this.#options = options
  }

  static async start(sandbox: Sandbox, host: Host, options: HostShellOptions): Promise<HostShell> {
    const layers = await sandbox.makeDirectory(`root-${host.name}`)
    const script = ['set -e', 'mount --make-rprivate /', `mount -t tmpfs tmpfs '${layers}'`]
    OWN_DIRECTORIES.forEach((directory, index) => {
      const [upper, work] = [join(layers, `upper${index}`), join(layers, `work${index}`)]
      script.push(`mkdir '${upper}' '${work}'`)
      script.push(`mount -t overlay overlay -o 'lowerdir=${directory},upperdir=${upper},workdir=${work}' ${directory}`)
    })
    script.push('echo mounted', 'exec sleep infinity')
    const holder = sandbox.start(
      `root of ${host.name}`,
      ...host.command('unshare', ['--mount', '--', 'bash', '-c', script.join('\n')])
    )
    await holder.waitForLine(/^mounted$/, HANG_MS)
    return new HostShell(sandbox, host, holder, options)
  }

  /**
   * Runs a script to its end; a line that ends in `&` is started beside it, and has to print a line like `ready` before
   * the next one runs. @returns what it printed @throws with all of its output when it fails
   */
  async run(script: string, { ready = /./, timeoutMs = HANG_MS } = {}): Promise<string> {
    let printed = ''
    let waiting: string[] = []
    for (const line of script.split('\n')) {
      const [, daemon] = /^(.*\S)\s*&$/.exec(line) ?? []
      if (daemon === undefined) {
        waiting.push(line)
        continue
      }
      printed += await this.#bash(waiting.join('\n'))
      waiting = []
      const child = this.#sandbox.start(
        `${daemon} at ${this.#host.name}`,
        ...this.#command(`exec ${daemon}`),
        this.#options.env ? { env: this.#options.env } : {}
      )
      await child.waitForLine(ready, timeoutMs)
    }
    return printed + (await this.#bash(waiting.join('\n')))
  }

  #bash(script: string): Promise<string> {
    const { env } = this.#options
    return runOk(...this.#command(`set -euo pipefail\n${script}`), { env })
  }

  #command(script: string): [command: string, args: readonly string[]] {
    const within = ['--mount', '--net', `--target=${this.#holder.pid}`]
    const [command, args] = ['bash', ['-c', `cd '${this.#options.directory}'\n${script}`]]
    return ['nsenter', [...within, '--', command, ...args]]
  }
}

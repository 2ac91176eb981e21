import { access, readdir } from 'node:fs/promises'
import type { Command } from '../place.ts'
import { run, runOk } from '../process.ts'
import type { Sandbox } from '../sandbox.ts'

const DIRECTORY = '/run/netns'

/** Why no network can be made on this machine; undefined when one can. */
export async function whyNoNetwork(): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'needs network namespaces, which only Linux has'
  if (process.getuid?.() !== 0) return 'needs root, for network namespaces and shaped links'
  const name = `lm-probe-${process.pid}`
  try {
    await runOk('ip', ['netns', 'add', name])
    await runOk('tc', [
      '-n',
      name,
      'qdisc',
      'add',
      'dev',
      'lo',
      'root',
      'tbf',
      ...['rate', '1mbit', 'burst', '8kb', 'limit', '8kb']
    ])
    return undefined
  } catch (error) {
    return `needs network namespaces and tc (Debian: apt-get install iproute2), and: ${(error as Error).message.trim()}`
  } finally {
    await run('ip', ['netns', 'del', name]).catch(() => {})
  }
}

/** A network namespace, which goes with the sandbox and takes its devices with it. */
export class Namespace {
  readonly name: string

  private constructor(name: string) {
    this.name = name
  }

  /** Makes one named `PREFIX-PID-LABEL`; only its loopback is up. */
  static async create(sandbox: Sandbox, prefix: string, label: string): Promise<Namespace> {
    const namespace = new Namespace(`${prefix}-${process.pid}-${label}`)
    await runOk('ip', ['netns', 'add', namespace.name])
    sandbox.defer(() => runOk('ip', ['netns', 'del', namespace.name]))
    await namespace.ip('link', 'set', 'lo', 'up')
    return namespace
  }

  /** The command line that runs another within. */
  command(command: string, args: readonly string[]): Command {
    return ['nsenter', [`--net=${DIRECTORY}/${this.name}`, '--', command, ...args]]
  }

  /** `ip` on the devices within. @throws when it fails */
  ip(...args: readonly string[]): Promise<string> {
    return runOk('ip', ['-n', this.name, ...args])
  }

  /** `tc` on the devices within. @throws when it fails */
  tc(...args: readonly string[]): Promise<string> {
    return runOk('tc', ['-n', this.name, ...args])
  }
}

/** Removes namespaces with this prefix whose makers were killed before they could. */
export async function removeLeftNamespaces(prefix: string): Promise<void> {
  for (const name of await readdir(DIRECTORY).catch(() => [])) {
    const [, pid] = new RegExp(`^${prefix}-(\\d+)-`).exec(name) ?? []
    if (pid !== undefined && !(await exists(`/proc/${pid}`))) await run('ip', ['netns', 'del', name])
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false
  )
}

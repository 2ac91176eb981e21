import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { NodeInfo } from '@layermesh/node'
import { CliFailure } from '../failure.ts'

const POLL_MS = 50
const START_LIMIT_MS = 30_000
const STOP_GRACE_MS = 5_000
const LOG_FILE = 'log'
const LOOPBACK = '127.0.0.1:0'

/** A node in a process of its own. */
export interface DemoNode {
  readonly name: string
  readonly info: NodeInfo
}

export interface DemoNodeOptions {
  readonly name: string
  readonly role: 'seed' | 'node'
  /** Nodes to join through. */
  readonly join: readonly DemoNode[]
  /** Peer ids of the seeds. */
  readonly trust: readonly string[]
}

/** Nodes on loopback, each a child process with a data directory of its own and ports that the system chose. */
export class DemoCluster {
  readonly #directory: string
  readonly #command: readonly string[]
  readonly #environment: NodeJS.ProcessEnv
  readonly #signal: AbortSignal
  readonly #children = new Map<string, ChildProcess>()
  #stopped = false

  /**
   * @param directory where the data directories are made
   * @param entry the script that is started with `node`
   */
  constructor(directory: string, entry: string, environment: NodeJS.ProcessEnv, signal: AbortSignal) {
    this.#directory = directory
    this.#command = [process.execPath, ...process.execArgv, entry]
    this.#environment = withoutSettings(environment)
    this.#signal = signal
  }

  /** Starts a node and waits until clients can use it. */
  async start({ name, role, join: contacts, trust }: DemoNodeOptions): Promise<DemoNode> {
    const data = join(this.#directory, name)
    const flags = [
      ...['--role', role, '--data', data, '--listen', LOOPBACK, '--admin', LOOPBACK, '--mesh', '/ip4/127.0.0.1/tcp/0'],
      ...contacts.flatMap(({ info }) => info.meshAddresses.flatMap((address) => ['--join', address])),
      ...trust.flatMap((peerId) => ['--trust', peerId])
    ]
    await mkdir(data, { recursive: true })
    const child = await this.spawn(name, data, flags)
    const limit = AbortSignal.any([this.#signal, AbortSignal.timeout(START_LIMIT_MS)])
    const info = await this.until(name, child, limit, () => readInfo(data, child))
    await this.until(name, child, limit, () => isReady(info))
    return { name, info }
  }

  /** Ends a node in the middle of whatever it does (SIGKILL). */
  async kill({ name }: DemoNode): Promise<void> {
    const child = this.#children.get(name)
    if (child) await end(child, 'SIGKILL')
  }

  /** Ends all nodes, politely at first, and starts no more. */
  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all([...this.#children.values()].map((child) => end(child, 'SIGTERM')))
  }

  private async spawn(name: string, data: string, flags: readonly string[]): Promise<ChildProcess> {
    const log = await open(join(data, LOG_FILE), 'w')
    try {
      if (this.#stopped) throw new CliFailure('FAILED', 'the nodes were stopped')
      const [node = '', ...args] = this.#command
      const stdio = ['ignore', 'ignore', log.fd] as const
      const child = spawn(node, [...args, 'node', ...flags], { stdio: [...stdio], env: this.#environment })
      this.#children.set(name, child)
      await once(child, 'spawn')
      return child
    } finally {
      await log.close()
    }
  }

  private async until<T>(
    name: string,
    child: ChildProcess,
    limit: AbortSignal,
    probe: () => Promise<T | undefined>
  ): Promise<T> {
    for (;;) {
      const value = await probe()
      if (value !== undefined) return value
      if (hasEnded(child)) throw await this.failure(name, 'ended while it started')
      if (limit.aborted) throw await this.failure(name, 'was not ready in time')
      await sleep(POLL_MS)
    }
  }

  private async failure(name: string, what: string): Promise<CliFailure> {
    const log = await readFile(join(this.#directory, name, LOG_FILE), 'utf8').catch(() => '')
    const last = log.trimEnd().split('\n').at(-1) ?? ''
    return new CliFailure('FAILED', `the node ${name} ${what}; the last line of its log: ${last}`)
  }
}

/** The settings of the user's own node are not those of the demo's. */
function withoutSettings(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith('LAYERMESH_')))
}

/** Undefined until this very process has written it. */
async function readInfo(data: string, child: ChildProcess): Promise<NodeInfo | undefined> {
  const text = await readFile(join(data, 'node.json'), 'utf8').catch(() => undefined)
  const info: NodeInfo | undefined = text === undefined ? undefined : JSON.parse(text)
  return info?.pid === child.pid ? info : undefined
}

async function isReady({ admin }: NodeInfo): Promise<true | undefined> {
  const response = await fetch(`${admin}/readyz`).catch(() => undefined)
  await response?.body?.cancel()
  return response?.ok === true ? true : undefined
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (hasEnded(child)) return
  const exited = once(child, 'exit')
  child.kill(signal)
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_GRACE_MS)
  await exited
  clearTimeout(timer)
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

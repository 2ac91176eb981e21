import { readdir, readFile, readlink } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { eventually } from '../../support/http.ts'
import { MeshNode, type NodeOptions } from '../../support/node.ts'
import type { Sandbox } from '../../support/sandbox.ts'
import type { ProbeLine } from './probe.ts'

const PROBE = fileURLToPath(new URL('./probe.ts', import.meta.url))
const TIMEOUT_MS = 120_000
const MIB = 1024 * 1024

/** What a node uses at one moment. */
export interface Usage extends ProbeLine {
  readonly sockets: number
}

/** A node as users run it, of which can be told what it holds on to. */
export class Victim {
  readonly node: MeshNode
  #probes = 0

  private constructor(node: MeshNode) {
    this.node = node
  }

  static async start(sandbox: Sandbox, options: NodeOptions): Promise<Victim> {
    const env = { ...options.env, NODE_OPTIONS: `--import=${PROBE} --disable-warning=ExperimentalWarning` }
    return new Victim(await MeshNode.start(sandbox, { ...options, env }))
  }

  /** What it uses once all garbage is collected. */
  async usage(): Promise<Usage> {
    const { process } = this.node
    const probe = ++this.#probes
    process.signal('SIGUSR2')
    const line = await process.waitForLine(new RegExp(`^{"probe":${probe},`), TIMEOUT_MS)
    return { ...(JSON.parse(line) as ProbeLine), sockets: await openSockets(process.pid) }
  }

  /** Ticks of the clock that all its threads have used (proc(5), stat: utime and stime). */
  async usedCpu(): Promise<number> {
    const stat = await readFile(`/proc/${this.node.process.pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return Number(fields[11]) + Number(fields[12])
  }

  /**
   * Waits until it holds no more than `before`, give or take `slackBytes` and `slackSockets`: what was done to it since has
   * left nothing behind. @throws with the difference
   */
  async expectNoLeak(before: Usage, { slackBytes = 8 * MIB, slackSockets = 8 } = {}): Promise<Usage> {
    let last = before
    try {
      return await eventually('it holds no more than before', TIMEOUT_MS, async () => {
        last = await this.usage()
        const clean = last.heldBytes <= before.heldBytes + slackBytes && last.sockets <= before.sockets + slackSockets
        return clean ? last : undefined
      })
    } catch {
      throw new Error(`${this.node.name} held ${JSON.stringify(before)} before and ${JSON.stringify(last)} after`)
    }
  }

  /** @throws when the process has ended or told of an error that nobody caught */
  expectAlive(): void {
    const { process } = this.node
    if (!process.running) process.fail('ended')
    const line = process.log.find(/[Uu]nhandled|[Uu]ncaught/)
    if (line !== undefined) process.fail(`reported: ${line}`)
  }
}

async function openSockets(pid: number): Promise<number> {
  const directory = `/proc/${pid}/fd`
  const names = await readdir(directory)
  const targets = await Promise.all(names.map((name) => readlink(`${directory}/${name}`).catch(() => '')))
  return targets.filter((target) => target.startsWith('socket:')).length
}

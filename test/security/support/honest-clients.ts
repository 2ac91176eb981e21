import { fileURLToPath } from 'node:url'
import { eventually } from '../../support/http.ts'
import type { MeshNode } from '../../support/node.ts'
import type { ManagedProcess } from '../../support/process.ts'
import type { Sandbox } from '../../support/sandbox.ts'
import type { HonestClientInit, HonestClientLine } from './honest-client-program.ts'

const PROGRAM = fileURLToPath(new URL('./honest-client-program.ts', import.meta.url))
const TIMEOUT_MS = 180_000

/** Clients who push images to a node and pull them from another, on and on, while something bad happens to the first. */
export class HonestClients {
  readonly #process: ManagedProcess

  private constructor(process: ManagedProcess) {
    this.#process = process
  }

  /** @param giver the node that is attacked. @param taker another, which gets what it has from the first */
  static start(sandbox: Sandbox, giver: MeshNode, taker: MeshNode): HonestClients {
    const [{ registryUrl: from }, { registryUrl: to }] = [giver, taker]
    const init: HonestClientInit = { giver: { registryUrl: from }, taker: { registryUrl: to } }
    const flags = ['--conditions=layermesh-source', PROGRAM, JSON.stringify(init)]
    return new HonestClients(sandbox.start('honest clients', globalThis.process.execPath, flags))
  }

  /** Resolves after `count` more images went through. @throws when one did not, or they take too long */
  async more(count: number): Promise<void> {
    const target = this.#lines().length + count
    await eventually(`${count} images go through`, TIMEOUT_MS, () => {
      const lines = this.#lines()
      const failed = lines.find((line) => 'failure' in line)
      if (failed) throw new Error(`an honest client failed: ${JSON.stringify(failed)}`)
      return lines.length >= target || undefined
    })
  }

  /** The longest that an image took, in ms. */
  slowestMs(): number {
    return Math.max(...this.#lines().map((line) => ('elapsedMs' in line ? line.elapsedMs : Number.POSITIVE_INFINITY)))
  }

  async stop(): Promise<void> {
    await this.#process.kill()
  }

  #lines(): HonestClientLine[] {
    return this.#process.log.findAll(/^\{/).map((line) => JSON.parse(line) as HonestClientLine)
  }
}

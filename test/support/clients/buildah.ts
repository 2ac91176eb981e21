import { runOk } from '../process.ts'
import type { Sandbox } from '../sandbox.ts'
import { type ContainersHome, createContainersHome } from './containers-home.ts'

/** buildah with a store of its own. */
export class Buildah {
  readonly #home: ContainersHome

  private constructor(home: ContainersHome) {
    this.#home = home
  }

  static async create(sandbox: Sandbox, name = 'buildah'): Promise<Buildah> {
    return new Buildah(await createContainersHome(sandbox, name))
  }

  /** Builds an image that holds `context` at its root, from nothing, without running anything. */
  async buildFromFiles(context: string, command: readonly string[], reference: string): Promise<void> {
    const container = (await this.#buildah('from', 'scratch')).trim()
    await this.#buildah('copy', '--quiet', container, context, '/')
    await this.#buildah('config', '--cmd', JSON.stringify(command), container)
    await this.#buildah('commit', '--quiet', '--rm', '--signature-policy', this.#home.policyFile, container, reference)
  }

  async push(reference: string): Promise<void> {
    await this.#buildah('push', '--tls-verify=false', '--signature-policy', this.#home.policyFile, reference)
  }

  async pull(reference: string): Promise<void> {
    const flags = ['--quiet', '--tls-verify=false', '--signature-policy', this.#home.policyFile]
    await this.#buildah('pull', ...flags, reference)
  }

  #buildah(...args: string[]): Promise<string> {
    return runOk('buildah', args, { env: this.#home.env })
  }
}

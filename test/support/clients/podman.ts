import { runOk } from '../process.ts'
import type { Sandbox } from '../sandbox.ts'
import { type ContainersHome, createContainersHome, type PrefixMirror } from './containers-home.ts'

/** podman with a store of its own. */
export class Podman {
  readonly #home: ContainersHome

  private constructor(home: ContainersHome) {
    this.#home = home
  }

  static async create(sandbox: Sandbox, name = 'podman', mirrors: readonly PrefixMirror[] = []): Promise<Podman> {
    return new Podman(await createContainersHome(sandbox, name, mirrors))
  }

  async pull(reference: string): Promise<void> {
    await this.#podman('pull', '--quiet', '--signature-policy', this.#home.policyFile, ...tls(reference), reference)
  }

  async push(reference: string): Promise<void> {
    await this.#podman('push', '--signature-policy', this.#home.policyFile, ...tls(reference), reference)
  }

  /** Takes an image from an archive as `docker save` writes it. */
  async load(archive: string): Promise<void> {
    await this.#podman('load', '--quiet', '--signature-policy', this.#home.policyFile, '--input', archive)
  }

  /** Runs a container of an image that is here, and gives what it printed. */
  run(reference: string): Promise<string> {
    return this.#podman('run', '--rm', '--pull=never', '--network=none', reference)
  }

  #podman(...args: string[]): Promise<string> {
    return runOk('podman', args, { env: this.#home.env })
  }
}

/** Registries on this machine speak plain HTTP; what a mirror speaks is said in registries.conf. */
function tls(reference: string): string[] {
  return /^(localhost|127\.0\.0\.1)[:/]/.test(reference) ? ['--tls-verify=false'] : []
}

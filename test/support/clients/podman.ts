import { join } from 'node:path'
import { runOk } from '../process.ts'
import type { Sandbox } from '../sandbox.ts'
import { type ContainersHome, createContainersHome, type PrefixMirror } from './containers-home.ts'

/** podman with a store of its own. */
export class Podman {
  readonly #home: ContainersHome
  readonly #certificates: string | undefined

  private constructor(home: ContainersHome, certificates: string | undefined) {
    this.#home = home
    this.#certificates = certificates
  }

  /**
   * @param certificates directory of what it trusts and shows; without one, registries on this machine speak plain HTTP
   * @param env added to its environment
   */
  static async create(
    sandbox: Sandbox,
    name = 'podman',
    mirrors: readonly PrefixMirror[] = [],
    certificates?: string,
    env: Readonly<Record<string, string>> = {}
  ): Promise<Podman> {
    return new Podman(await createContainersHome(sandbox, name, mirrors, env), certificates)
  }

  /** The registries.conf of its user; its directory is not there yet. */
  get userRegistriesConf(): string {
    return join(this.#home.directory, '.config/containers/registries.conf')
  }

  /** @throws when the registry does not take the password */
  async login(host: string, user: string, password: string): Promise<void> {
    await this.#podman('login', '--username', user, '--password', password, ...this.#tls(`${host}/`), host)
  }

  async logout(host: string): Promise<void> {
    await this.#podman('logout', host)
  }

  async pull(reference: string): Promise<void> {
    await this.#podman(
      'pull',
      '--quiet',
      '--signature-policy',
      this.#home.policyFile,
      ...this.#tls(reference),
      reference
    )
  }

  async push(reference: string): Promise<void> {
    await this.#podman('push', '--signature-policy', this.#home.policyFile, ...this.#tls(reference), reference)
  }

  /** Takes an image from an archive as `docker save` writes it. */
  async load(archive: string): Promise<void> {
    await this.#podman('load', '--quiet', '--signature-policy', this.#home.policyFile, '--input', archive)
  }

  /** Forgets an image, so that it has to be pulled again. */
  async remove(reference: string): Promise<void> {
    await this.#podman('image', 'rm', '--force', reference)
  }

  /** The digests under which registries know an image that is here: `name@sha256:…`. */
  async repositoryDigests(reference: string): Promise<string[]> {
    return JSON.parse(
      await this.#podman('image', 'inspect', '--format', '{{json .RepoDigests}}', reference)
    ) as string[]
  }

  /** Runs a container of an image that is here, and gives what it printed. */
  run(reference: string): Promise<string> {
    return this.#podman('run', '--rm', '--pull=never', '--network=none', reference)
  }

  /** What a mirror speaks is said in registries.conf. */
  #tls(reference: string): string[] {
    if (this.#certificates !== undefined) return [`--cert-dir=${this.#certificates}`, '--tls-verify=true']
    return /^(localhost|127\.0\.0\.1)[:/]/.test(reference) ? ['--tls-verify=false'] : []
  }

  #podman(...args: string[]): Promise<string> {
    return runOk('podman', args, { env: this.#home.env })
  }
}

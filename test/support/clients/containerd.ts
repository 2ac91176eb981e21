import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { HANG_MS } from '../http.ts'
import { runOk } from '../process.ts'
import type { Sandbox } from '../sandbox.ts'

/** A containerd of the test's own, driven by ctr. */
export class Containerd {
  readonly socket: string
  /** Its content store. */
  readonly contentDirectory: string
  readonly #hostsDirectory: string
  readonly #env: Readonly<Record<string, string>>
  #containers = 0

  private constructor(directory: string, env: Readonly<Record<string, string>>) {
    this.#env = env
    this.socket = join(directory, 'containerd.sock')
    this.contentDirectory = join(directory, 'root', 'io.containerd.content.v1.content')
    this.#hostsDirectory = join(directory, 'certs.d')
  }

  /** @param env added to the environment of ctr, which is what asks registries */
  static async start(
    sandbox: Sandbox,
    name = 'containerd',
    env: Readonly<Record<string, string>> = {}
  ): Promise<Containerd> {
    const directory = await sandbox.makeDirectory(name)
    const containerd = new Containerd(directory, env)
    const config = [
      'version = 2',
      `root = "${directory}/root"`,
      `state = "${directory}/state"`,
      'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
      '[grpc]',
      `  address = "${containerd.socket}"`
    ]
    await writeFile(join(directory, 'config.toml'), config.join('\n'))
    const daemon = sandbox.start(name, 'containerd', ['--config', join(directory, 'config.toml')])
    await daemon.waitForLine(/containerd successfully booted/, HANG_MS)
    return containerd
  }

  /** Writes `hosts.toml`, which has what is named `registryHost/…` pulled from `mirrorUrl` with `?ns=registryHost`. */
  async useMirror(registryHost: string, mirrorUrl: string): Promise<void> {
    const directory = join(this.#hostsDirectory, registryHost)
    await mkdir(directory, { recursive: true })
    const hosts = [`[host."${mirrorUrl}"]`, '  capabilities = ["pull", "resolve"]', '']
    await writeFile(join(directory, 'hosts.toml'), hosts.join('\n'))
  }

  async pull(reference: string): Promise<void> {
    await this.#ctr('images', 'pull', '--hosts-dir', this.#hostsDirectory, reference)
  }

  /** Pulls from a registry itself, with what `flags` say of the way to it, such as `--plain-http` and `--user`. */
  async pullWith(flags: readonly string[], reference: string): Promise<void> {
    await this.#ctr('images', 'pull', ...flags, reference)
  }

  /** Pushes to a registry itself, as {@link pullWith} pulls. */
  async pushWith(flags: readonly string[], reference: string): Promise<void> {
    await this.#ctr('images', 'push', ...flags, reference)
  }

  /** Takes an image from an archive as `docker save` writes it. */
  async load(archive: string): Promise<void> {
    await this.#ctr('images', 'import', archive)
  }

  /** Forgets an image, so that it has to be pulled again. */
  async remove(reference: string): Promise<void> {
    await this.#ctr('images', 'remove', '--sync', reference)
  }

  /** The digest that a reference means here. */
  async digestOf(reference: string): Promise<string | undefined> {
    const table = await this.#ctr('images', 'list', `name==${reference}`)
    return /sha256:[0-9a-f]{64}/.exec(table)?.[0]
  }

  /** Runs a container of an image that is here, and gives what it printed. */
  run(reference: string): Promise<string> {
    this.#containers += 1
    return this.#ctr('run', '--rm', reference, `test-${this.#containers}`)
  }

  #ctr(...args: string[]): Promise<string> {
    return runOk('ctr', ['--address', this.socket, '--namespace', 'test', ...args], { env: this.#env })
  }
}

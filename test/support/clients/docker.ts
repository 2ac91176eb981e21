import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { HANG_MS } from '../http.ts'
import type { Command } from '../place.ts'
import { runOk } from '../process.ts'
import type { Sandbox } from '../sandbox.ts'
import { Containerd } from './containerd.ts'

const ETC = '/etc/docker'

export interface DockerOptions {
  /** @default 'docker' */
  readonly name?: string
  /** URL that stands in for Docker Hub, as `registry-mirrors` in daemon.json says it. */
  readonly registryMirror?: string
  /** What the daemon reads in the place of `/etc/docker`; it runs no containers then. */
  readonly etc?: string
  /** Added to the daemon's environment. */
  readonly env?: Readonly<Record<string, string>>
}

/** A Docker daemon of the test's own, without a network for its containers, and the client that talks to it. */
export class Docker {
  /** What talks to the daemon has this in its environment. */
  readonly env: Readonly<Record<string, string>>
  /** Its daemon.json. */
  readonly configFile: string
  readonly pidFile: string
  readonly #configDirectory: string

  private constructor(socket: string, configDirectory: string) {
    this.#configDirectory = configDirectory
    this.configFile = join(configDirectory, 'daemon.json')
    this.pidFile = join(configDirectory, 'docker.pid')
    this.env = { DOCKER_HOST: `unix://${socket}`, DOCKER_CONFIG: configDirectory, HOME: configDirectory }
  }

  static async start(
    sandbox: Sandbox,
    { name = 'docker', registryMirror, etc, env }: DockerOptions = {}
  ): Promise<Docker> {
    const directory = await sandbox.makeDirectory(name)
    const containerd = await Containerd.start(sandbox, `${name}-containerd`)
    const configFile = join(directory, 'daemon.json')
    await writeFile(configFile, JSON.stringify(registryMirror ? { 'registry-mirrors': [registryMirror] } : {}))

    const socket = join(directory, 'docker.sock')
    const flags = [
      `--config-file=${configFile}`,
      `--containerd=${containerd.socket}`,
      `--data-root=${directory}/data`,
      `--exec-root=${directory}/exec`,
      `--pidfile=${directory}/docker.pid`,
      `--host=unix://${socket}`,
      '--bridge=none',
      '--iptables=false',
      '--ip6tables=false'
    ]
    const command = etc === undefined ? (['dockerd', flags] as const) : await seeing(etc, 'dockerd', flags)
    const daemon = sandbox.start(name, ...command, { ...(env && { env }) })
    await daemon.waitForLine(/API listen on/, HANG_MS)
    return new Docker(socket, directory)
  }

  /** @throws when the registry does not take the password */
  async login(host: string, user: string, password: string): Promise<void> {
    await this.#docker('login', '--username', user, '--password', password, host)
  }

  async logout(host: string): Promise<void> {
    await this.#docker('logout', host)
  }

  /** What it keeps for a registry that it has logged in to. */
  async storedLogin(host: string): Promise<Record<string, string>> {
    const config = await readFile(join(this.#configDirectory, 'config.json'), 'utf8')
    return (JSON.parse(config) as { auths: Record<string, Record<string, string>> }).auths[host] ?? {}
  }

  async pull(reference: string): Promise<void> {
    await this.#docker('pull', '--quiet', reference)
  }

  async push(reference: string): Promise<void> {
    await this.#docker('push', '--quiet', reference)
  }

  /** Takes an image from an archive as `docker save` writes it. */
  async load(archive: string): Promise<void> {
    await this.#docker('load', '--quiet', '--input', archive)
  }

  /** Writes images into an archive. */
  async save(archive: string, ...references: string[]): Promise<void> {
    await this.#docker('save', '--output', archive, ...references)
  }

  async tag(reference: string, another: string): Promise<void> {
    await this.#docker('tag', reference, another)
  }

  /** Forgets an image, so that it has to be pulled again. */
  async remove(reference: string): Promise<void> {
    await this.#docker('image', 'rm', '--force', reference)
  }

  /** The digests under which registries know an image that is here: `name@sha256:…`. */
  async repositoryDigests(reference: string): Promise<string[]> {
    return JSON.parse(
      await this.#docker('image', 'inspect', '--format', '{{json .RepoDigests}}', reference)
    ) as string[]
  }

  /** Runs a container of an image that is here, and gives what it printed. */
  run(reference: string): Promise<string> {
    return this.#docker('run', '--rm', '--network=none', reference)
  }

  /** What stands in for Docker Hub, as the daemon goes by it now. */
  async registryMirrors(): Promise<string[]> {
    return JSON.parse(await this.#docker('info', '--format', '{{json .RegistryConfig.Mirrors}}')) as string[]
  }

  #docker(...args: string[]): Promise<string> {
    return runOk('docker', args, { env: this.env })
  }
}

/** The command line that runs a program which sees a directory in the place of {@link ETC}, and alone does so. */
async function seeing(directory: string, program: string, args: readonly string[]): Promise<Command> {
  await mkdir(ETC, { recursive: true })
  const script = `mount --bind "$0" ${ETC} && exec "$@"`
  return ['unshare', ['--mount', '--', 'sh', '-c', script, directory, program, ...args]]
}

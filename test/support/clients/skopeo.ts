import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BuiltImage } from '../images/image.ts'
import { writeSkopeoDirectory } from '../images/skopeo-directory.ts'
import { runOk } from '../process.ts'
import type { Sandbox } from '../sandbox.ts'
import { type ContainersHome, createContainersHome, type PrefixMirror } from './containers-home.ts'

const SYSTEM_CERTIFICATES: unique symbol = Symbol('those of the system')

/** skopeo, copying images in all their platforms. */
export class Skopeo {
  readonly #home: ContainersHome
  readonly #certificates: string | typeof SYSTEM_CERTIFICATES | undefined
  #directories = 0

  private constructor(home: ContainersHome, certificates: string | typeof SYSTEM_CERTIFICATES | undefined) {
    this.#home = home
    this.#certificates = certificates
  }

  /** @param certificates directory of what it trusts and shows; without one it speaks plain HTTP */
  static async create(sandbox: Sandbox, name = 'skopeo', certificates?: string): Promise<Skopeo> {
    return new Skopeo(await createContainersHome(sandbox, name), certificates)
  }

  /** One that asks these mirrors first, and of registries what they are named. @param env added to its environment */
  static async withMirrors(
    sandbox: Sandbox,
    name: string,
    mirrors: readonly PrefixMirror[],
    env: Readonly<Record<string, string>>
  ): Promise<Skopeo> {
    return new Skopeo(await createContainersHome(sandbox, name, mirrors, env), SYSTEM_CERTIFICATES)
  }

  /** @throws when the registry does not take the password */
  async login(host: string, user: string, password: string): Promise<void> {
    await this.#skopeo('login', '--username', user, '--password', password, ...this.#tls('--'), host)
  }

  async logout(host: string): Promise<void> {
    await this.#skopeo('logout', host)
  }

  /** Pushes an image, byte for byte. */
  async push(image: BuiltImage, reference: string): Promise<void> {
    const directory = join(this.#home.directory, `push-${this.#nextDirectory()}`)
    await writeSkopeoDirectory(image, directory)
    await this.#copy(`dir:${directory}`, `docker://${reference}`, this.#tls('--dest-'))
  }

  /** Pulls an image, byte for byte, and gives its manifest. */
  async pull(reference: string): Promise<Buffer> {
    const directory = join(this.#home.directory, `pull-${this.#nextDirectory()}`)
    await this.#copy(`docker://${reference}`, `dir:${directory}`, this.#tls('--src-'))
    return readFile(join(directory, 'manifest.json'))
  }

  /** Reads an image from any place that skopeo knows, such as `oci-archive:FILE`, and gives its manifest. */
  async read(source: string): Promise<Buffer> {
    const directory = join(this.#home.directory, `read-${this.#nextDirectory()}`)
    await this.#skopeo('copy', '--all', source, `dir:${directory}`)
    return readFile(join(directory, 'manifest.json'))
  }

  /** Writes an image to any place that skopeo knows, byte for byte. */
  async write(image: BuiltImage, destination: string): Promise<void> {
    const directory = join(this.#home.directory, `write-${this.#nextDirectory()}`)
    await writeSkopeoDirectory(image, directory)
    await this.#skopeo('copy', '--all', '--preserve-digests', `dir:${directory}`, destination)
  }

  /** The manifest as it came over the wire. */
  async inspectRaw(reference: string): Promise<Buffer> {
    return Buffer.from(await this.#skopeo('inspect', '--raw', ...this.#tls('--'), `docker://${reference}`))
  }

  async #copy(source: string, destination: string, tlsFlags: readonly string[]): Promise<void> {
    await this.#skopeo('copy', '--all', '--preserve-digests', ...tlsFlags, source, destination)
  }

  /** What is said of mirrors in registries.conf holds only where no flag says anything. */
  #tls(prefix: string): string[] {
    if (this.#certificates === SYSTEM_CERTIFICATES) return []
    return [this.#certificates === undefined ? `${prefix}tls-verify=false` : `${prefix}cert-dir=${this.#certificates}`]
  }

  #nextDirectory(): number {
    this.#directories += 1
    return this.#directories
  }

  #skopeo(...args: string[]): Promise<string> {
    const { policyFile, registriesFile, env } = this.#home
    return runOk('skopeo', ['--policy', policyFile, '--registries-conf', registriesFile, ...args], { env })
  }
}

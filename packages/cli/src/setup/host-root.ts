import { dirname, isAbsolute, join, resolve } from 'node:path'
import { CliFailure } from '../failure.ts'
import type { Access, Disk } from './disk.ts'

const MAX_LINKS = 40

/**
 * The file system of a host as it lies below a directory of this machine: `/` for the host itself, else where it is
 * mounted. Paths are those of the host; its symbolic links are followed as the host would, never out of the directory.
 */
export class HostRoot {
  readonly #root: string
  readonly disk: Disk

  constructor(root: string, disk: Disk) {
    this.#root = resolve(root)
    this.disk = disk
  }

  get isThisHost(): boolean {
    return this.#root === '/'
  }

  /** Where a path of the host lies here. It must have no symbolic links, as {@link resolve} gives it. */
  here(path: string): string {
    return join(this.#root, path)
  }

  /** The path of the host that a path means once its symbolic links are followed; its end need not be there. */
  async resolve(path: string): Promise<string> {
    if (!isAbsolute(path)) throw new CliFailure('USAGE', `${path} is no absolute path`)
    let links = 0
    let done = '/'
    const left = partsOf(path)
    for (let part = left.shift(); part !== undefined; part = left.shift()) {
      // The root has no parent; nothing leads out of it.
      const next = part === '..' ? dirname(done) : join(done, part)
      const link = part === '..' ? undefined : await this.disk.readLink(this.here(next))
      if (link === undefined) {
        done = next
        continue
      }
      links += 1
      if (links > MAX_LINKS) throw new CliFailure('FAILED', `${path} leads through too many symbolic links`)
      left.unshift(...partsOf(link))
      if (isAbsolute(link)) done = '/'
    }
    return done
  }

  async read(path: string): Promise<{ readonly bytes: Buffer; readonly access: Access } | undefined> {
    return this.disk.read(this.here(await this.resolve(path)))
  }

  async list(path: string): Promise<readonly string[]> {
    return this.disk.list(this.here(await this.resolve(path)))
  }
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.')
}

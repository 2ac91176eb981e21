import { createHash } from 'node:crypto'
import { lstat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { CliFailure } from '../failure.ts'
import { removeFile, replaceFile } from './atomic-file.ts'
import type { Contribution } from './contribution.ts'
import type { Disk } from './disk.ts'
import { CLIENTS, type Client } from './wish.ts'

/** A file as `setup` has left it, or was about to. */
export interface Version {
  /** Hex. */
  readonly sha256: string
  readonly contribution: Contribution
}

/** A file that `setup` has changed, or was about to. */
export interface FileRecord {
  readonly client: Client
  /** Of the host, without symbolic links. */
  readonly path: string
  /** SHA-256 of the file without anything of layermesh, of which a backup is kept; null when there was none. */
  readonly before: string | null
  /** The command by which the client comes to go by the file without what was put in. */
  readonly renewal?: string
  /** Directories that were made for it, outermost first. */
  readonly madeDirectories: readonly string[]
  /** Two while one takes the place of the other. */
  readonly versions: readonly Version[]
}

const JOURNAL = 'journal.json'
const BACKUPS = 'backups'
const REPLACED = 'replaced'
const FORMAT = 1
const PRIVATE_FILE = 0o600
const PRIVATE_DIRECTORY = 0o700
const OPEN_TO_OTHERS = 0o022

/**
 * What was changed, written down before it is changed:
 *
 *     DIR/journal.json      the records
 *     DIR/backups/SHA256    each file as it was before
 *     DIR/replaced/SHA256   what others had made of it when it was brought back by force
 *
 * The directory is private: backups may hold passwords, and whoever can write here says what `undo` writes elsewhere.
 * So it must not lie in a directory of the node's, which runs as a user of its own.
 */
export class Journal {
  readonly directory: string
  readonly #disk: Disk
  #records: readonly FileRecord[]

  private constructor(directory: string, disk: Disk, records: readonly FileRecord[]) {
    this.directory = directory
    this.#disk = disk
    this.#records = records
  }

  /** @throws CliFailure when others may write there, or it can not be read */
  static async open(directory: string, disk: Disk): Promise<Journal> {
    await checkPrivate(directory)
    const path = join(directory, JOURNAL)
    const found = await disk.read(path)
    return new Journal(directory, disk, found === undefined ? [] : parse(found.bytes.toString(), path))
  }

  get records(): readonly FileRecord[] {
    return this.#records
  }

  recordOf(client: Client, path: string): FileRecord | undefined {
    return this.#records.find((record) => record.client === client && record.path === path)
  }

  /** The record of a file, for whichever client it was changed. */
  find(path: string): FileRecord | undefined {
    return this.#records.find((record) => record.path === path)
  }

  /** Makes the directory, so that it can be written to. */
  async prepare(): Promise<void> {
    for (const directory of [this.directory, join(this.directory, BACKUPS)]) await this.#makeDirectory(directory)
  }

  /** Writes down what is there and about to be. What nobody needs any more goes, in the end the directory itself. */
  async save(records: readonly FileRecord[]): Promise<void> {
    const path = join(this.directory, JOURNAL)
    if (records.length === 0) {
      await removeFile(this.#disk, path)
      await this.#removeBackups(new Set())
      await this.#disk.removeDirectory(join(this.directory, BACKUPS))
      await this.#disk.removeDirectory(this.directory)
    } else {
      const text = `${JSON.stringify({ format: FORMAT, files: records }, null, 2)}\n`
      await replaceFile(this.#disk, path, Buffer.from(text), { mode: PRIVATE_FILE })
      await this.#removeBackups(new Set(records.map(({ before }) => before)))
    }
    this.#records = records
  }

  /** Keeps a file as it is now. @returns its SHA-256 */
  async keep(bytes: Uint8Array): Promise<string> {
    const name = sha256Of(bytes)
    const path = join(this.directory, BACKUPS, name)
    // One that was cut off has another name, so one with this name is whole.
    if ((await this.#disk.read(path)) === undefined) await replaceFile(this.#disk, path, bytes, { mode: PRIVATE_FILE })
    return name
  }

  /** Keeps what is about to be lost, for good. @returns where */
  async keepReplaced(bytes: Uint8Array): Promise<string> {
    const directory = join(this.directory, REPLACED)
    await this.#makeDirectory(directory)
    const path = join(directory, sha256Of(bytes))
    await replaceFile(this.#disk, path, bytes, { mode: PRIVATE_FILE })
    return path
  }

  /** @throws CliFailure when it is not there any more, or not what was kept */
  async backup(name: string): Promise<Buffer> {
    const path = join(this.directory, BACKUPS, name)
    const found = await this.#disk.read(path)
    if (found !== undefined && sha256Of(found.bytes) === name) return found.bytes
    throw new CliFailure(
      'FAILED',
      `the backup ${path} is ${found === undefined ? 'gone' : 'not what was kept'}; take out by hand what layermesh setup put in, and remove ${this.directory}`
    )
  }

  async #removeBackups(needed: ReadonlySet<string | null>): Promise<void> {
    const directory = join(this.directory, BACKUPS)
    for (const name of await this.#disk.list(directory)) {
      if (!needed.has(name)) await this.#disk.remove(join(directory, name))
    }
  }

  async #makeDirectory(path: string): Promise<void> {
    if (await this.#disk.isDirectory(path)) return
    if (!(await this.#disk.isDirectory(dirname(path)))) await this.#makeDirectory(dirname(path))
    await this.#disk.makeDirectory(path, PRIVATE_DIRECTORY)
    await this.#disk.sync(dirname(path))
  }
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Whoever else may write there could have `undo` write what they like. */
async function checkPrivate(directory: string): Promise<void> {
  const found = await lstat(directory).catch(() => undefined)
  if (found === undefined) return
  const isOwn = found.isDirectory() && found.uid === process.geteuid?.()
  if (isOwn && (found.mode & OPEN_TO_OTHERS) === 0) return
  throw new CliFailure(
    'FAILED',
    `${directory} is not a directory of this user alone; make it so (chmod go-w, chown), or choose another one with --state-dir`
  )
}

function parse(text: string, path: string): readonly FileRecord[] {
  try {
    const { format, files } = JSON.parse(text) as { format: unknown; files: readonly FileRecord[] }
    if (format === FORMAT && files.every(isRecord)) return files
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof TypeError)) throw error
  }
  throw new CliFailure(
    'FAILED',
    `${path} is no journal of this version of layermesh; the files that were changed are kept beside it in ${BACKUPS}`
  )
}

function isRecord({ client, path, before, madeDirectories, versions }: FileRecord): boolean {
  return (
    CLIENTS.includes(client) &&
    path.startsWith('/') &&
    (before === null || /^[0-9a-f]{64}$/.test(before)) &&
    Array.isArray(madeDirectories) &&
    Array.isArray(versions) &&
    versions.every(({ sha256, contribution }) => typeof sha256 === 'string' && typeof contribution?.kind === 'string')
  )
}

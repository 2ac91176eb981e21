import { createHash } from 'node:crypto'
import { type FileHandle, open, stat } from 'node:fs/promises'
import type { AccessLog } from '../access-types.ts'
import { AccessError } from '../errors.ts'
import { MAX_HTPASSWD_BYTES, type PasswordTable, parseHtpasswd } from './htpasswd-file.ts'

/** What changes when a file was written or another one took its place. */
interface FileState {
  readonly ino: bigint
  readonly size: bigint
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
}

const FINGERPRINT_BYTES = 12

/**
 * The users of an htpasswd file. It is read anew when it changed, which is looked for at each use, so that a removed
 * user is out at once. When what is there now can't be used, the users from before stay, and the log says so.
 */
export class Htpasswd {
  readonly #path: string
  readonly #log: AccessLog
  #table: PasswordTable
  #state: FileState | undefined
  #problem: string | undefined
  #refreshing: Promise<void> | undefined

  private constructor(path: string, log: AccessLog, { table, state }: { table: PasswordTable; state: FileState }) {
    this.#path = path
    this.#log = log
    this.#table = table
    this.#state = state
  }

  /** @throws {AccessError} HTPASSWD_UNREADABLE, HTPASSWD_INVALID */
  static async open(path: string, { log }: { log: AccessLog }): Promise<Htpasswd> {
    return new Htpasswd(path, log, await readTable(path))
  }

  /** The users as they are now. */
  async table(): Promise<PasswordTable> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined
    })
    await this.#refreshing
    return this.#table
  }

  /**
   * What identifies a user together with the password, and tells nothing of it; undefined when there is no such user.
   * It changes with the password, so that what was issued for the old one can be told.
   */
  async fingerprint(user: string): Promise<string | undefined> {
    const hash = (await this.table()).get(user)
    return hash === undefined ? undefined : fingerprintOf(hash)
  }

  async #refresh(): Promise<void> {
    try {
      const state = await stateOf(this.#path)
      if (this.#state !== undefined && isSame(state, this.#state)) return
      const read = await readTable(this.#path)
      this.#table = read.table
      this.#state = read.state
      this.#problem = undefined
      this.#log.info({ file: this.#path, users: read.table.size }, 'read the users anew')
    } catch (error) {
      this.#state = undefined
      const { message } = asAccessError(error, this.#path)
      if (message === this.#problem) return
      this.#problem = message
      this.#log.warn({ file: this.#path, problem: message }, 'the users can not be read anew; those from before stay')
    }
  }
}

/** See {@link Htpasswd.fingerprint}. The hash has 128 bits of salt in it, so that it can't be found from this. */
export function fingerprintOf(hash: string): string {
  const digest = createHash('sha256').update(`layermesh htpasswd ${hash}`).digest()
  return digest.subarray(0, FINGERPRINT_BYTES).toString('base64url')
}

/** Reads a file that may be written meanwhile: its state is that from before it was read. */
async function readTable(path: string): Promise<{ table: PasswordTable; state: FileState }> {
  try {
    await using file = await open(path, 'r')
    const state = await file.stat({ bigint: true })
    return { table: parseHtpasswd(await readBounded(file, path), path), state }
  } catch (error) {
    throw asAccessError(error, path)
  }
}

async function readBounded(file: FileHandle, path: string): Promise<string> {
  const buffer = Buffer.alloc(64 * 1024)
  const chunks: Buffer[] = []
  for (let total = 0; ; ) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, total)
    if (bytesRead === 0) return Buffer.concat(chunks).toString('utf8')
    total += bytesRead
    if (total > MAX_HTPASSWD_BYTES) {
      throw new AccessError(
        'HTPASSWD_INVALID',
        `${path} has more than ${MAX_HTPASSWD_BYTES} bytes, which is no htpasswd file`
      )
    }
    chunks.push(Buffer.from(buffer.subarray(0, bytesRead)))
  }
}

async function stateOf(path: string): Promise<FileState> {
  return await stat(path, { bigint: true })
}

function isSame(a: FileState, b: FileState): boolean {
  return a.ino === b.ino && a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs
}

function asAccessError(error: unknown, path: string): AccessError {
  if (error instanceof AccessError) return error
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
  return new AccessError(
    'HTPASSWD_UNREADABLE',
    `can not read the users of ${path} (${code}); make the file with \`layermesh user add NAME --htpasswd ${path}\``,
    { cause: error }
  )
}

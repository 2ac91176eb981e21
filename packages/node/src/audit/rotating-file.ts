import { type FileHandle, open, rename, stat } from 'node:fs/promises'

export interface RotatingFileOptions {
  readonly path: string
  /** A file that is longer is put aside and a new one begun. */
  readonly maxBytes: number
  /** How many are kept aside, as PATH.1, the newest, up to PATH.N. */
  readonly keep: number
  /** What may wait for the disk, in characters; more is dropped. @default 4 Mi */
  readonly maxQueued?: number
}

export interface RotatingFileComponents {
  /** Lines were dropped, since the disk took none or too few. */
  onDropped(count: number): void
  /** The file could not be written; it is tried again with the next line. */
  onTrouble(error: unknown): void
}

const MAX_QUEUED = 4 * 1024 * 1024
const OWNER_ONLY = 0o600

/**
 * A file that lines are added to, without anybody waiting for the disk. It is opened anew when somebody moved it away, so
 * that any log rotation works with it, and puts itself aside when it has become long.
 */
export class RotatingFile {
  readonly #components: RotatingFileComponents
  readonly #options: RotatingFileOptions & { readonly maxQueued: number }
  #queue: string[] = []
  #queued = 0
  #handle: FileHandle | undefined
  #writing: Promise<void> | undefined
  #closed = false

  constructor(components: RotatingFileComponents, options: RotatingFileOptions) {
    this.#components = components
    this.#options = { maxQueued: MAX_QUEUED, ...options }
  }

  /** Opens the file, so that a path that can't be written is told of at the start. @throws system errors */
  async open(): Promise<void> {
    this.#handle = await open(this.#options.path, 'a', OWNER_ONLY)
  }

  /** Adds a line, which ends with a newline; it is on its way to the file at once. */
  write(line: string): void {
    if (this.#closed || this.#queued + line.length > this.#options.maxQueued) {
      this.#components.onDropped(1)
      return
    }
    this.#queue.push(line)
    this.#queued += line.length
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined
    })
  }

  /** Has the next line go into a file that is opened anew. */
  async reopen(): Promise<void> {
    await this.#writing
    await this.#closeHandle()
  }

  /** Writes what waits, then closes. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#writing
    await this.#closeHandle()
  }

  async #writeAll(): Promise<void> {
    while (this.#queue.length > 0) {
      const lines = this.#queue
      const text = lines.join('')
      this.#queue = []
      try {
        await this.#append(text)
      } catch (error) {
        this.#components.onTrouble(error)
        this.#components.onDropped(lines.length)
        await this.#closeHandle()
      }
      this.#queued -= text.length
    }
  }

  async #append(text: string): Promise<void> {
    const { path, maxBytes } = this.#options
    if (this.#handle !== undefined && !(await this.#isInPlace(this.#handle))) await this.#closeHandle()
    this.#handle ??= await open(path, 'a', OWNER_ONLY)
    await this.#handle.appendFile(text)
    if ((await this.#handle.stat()).size > maxBytes) await this.#rotate()
  }

  /** Whether the path still leads to the file that is open. */
  async #isInPlace(handle: FileHandle): Promise<boolean> {
    const [here, there] = await Promise.all([handle.stat(), stat(this.#options.path).catch(() => undefined)])
    return there !== undefined && here.ino === there.ino && here.dev === there.dev
  }

  async #rotate(): Promise<void> {
    const { path, keep } = this.#options
    await this.#closeHandle()
    for (let number = keep - 1; number >= 1; number--) {
      await rename(`${path}.${number}`, `${path}.${number + 1}`).catch(() => {})
    }
    await rename(path, `${path}.1`)
  }

  async #closeHandle(): Promise<void> {
    const handle = this.#handle
    this.#handle = undefined
    await handle?.close().catch(() => {})
  }
}

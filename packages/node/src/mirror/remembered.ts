import { readFile, rename, writeFile } from 'node:fs/promises'
import { LRUCache } from 'lru-cache'

export interface RememberedOptions {
  /** Entries that are kept; beyond, those go that were not used for the longest. @default 2 048 */
  readonly max: number
  /** Changes are written together after so long, in ms. @default 1 000 */
  readonly writeAfterMs: number
}

const DEFAULTS: RememberedOptions = Object.freeze({ max: 2_048, writeAfterMs: 1_000 })

/**
 * What a node learnt of other registries and goes by when they can't be asked, also after a restart. It is no more than
 * a help: a crash costs the changes of the last moment, and a file that can't be read counts as empty.
 */
export class Remembered<Value extends object> {
  readonly #path: string
  readonly #onFailure: (error: unknown) => void
  readonly #options: RememberedOptions
  readonly #entries: LRUCache<string, Value>
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> = Promise.resolve()

  private constructor(path: string, onFailure: (error: unknown) => void, options: RememberedOptions) {
    this.#path = path
    this.#onFailure = onFailure
    this.#options = options
    this.#entries = new LRUCache({ max: options.max })
  }

  /** @param isValue tells whether what is read is a value; a file is no more to be trusted than the disk */
  static async open<Value extends object>(
    path: string,
    isValue: (value: unknown) => value is Value,
    onFailure: (error: unknown) => void,
    options: Partial<RememberedOptions> = {}
  ): Promise<Remembered<Value>> {
    const remembered = new Remembered<Value>(path, onFailure, { ...DEFAULTS, ...options })
    for (const [key, value] of await readEntries(path)) {
      if (typeof key === 'string' && isValue(value)) remembered.#entries.set(key, value)
    }
    return remembered
  }

  get(key: string): Value | undefined {
    return this.#entries.get(key)
  }

  set(key: string, value: Value): void {
    this.#entries.set(key, value)
    this.writeSoon()
  }

  delete(key: string): void {
    if (this.#entries.delete(key)) this.writeSoon()
  }

  /** Writes what is not written yet. */
  async close(): Promise<void> {
    if (this.#timer !== undefined) this.write()
    await this.#writing
  }

  private writeSoon(): void {
    this.#timer ??= setTimeout(() => this.write(), this.#options.writeAfterMs).unref()
  }

  private write(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    // The one used last comes first here, and has to be set last when it is read again.
    const text = JSON.stringify([...this.#entries.entries()].reverse())
    this.#writing = this.#writing.then(async () => {
      await writeFile(`${this.#path}.new`, text, { mode: 0o600 })
      await rename(`${this.#path}.new`, this.#path)
    })
    this.#writing = this.#writing.catch(this.#onFailure)
  }
}

async function readEntries(path: string): Promise<[unknown, unknown][]> {
  try {
    const read: unknown = JSON.parse(await readFile(path, 'utf8'))
    return Array.isArray(read) ? read.filter((entry) => Array.isArray(entry) && entry.length === 2) : []
  } catch {
    return []
  }
}

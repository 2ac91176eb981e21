import { Level } from 'level'
import { ContentError, errorCode, mapDiskFull } from '../errors.ts'

/** One change of the metadata; several are written in one step. */
export type Change =
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: string }

/** Keys after `gt` and before `lt`, in the order of their UTF-8 bytes unless `reverse` says otherwise. */
export interface KeyRange {
  readonly gt: string
  readonly lt: string
  readonly limit?: number
  /** True gives them in descending order. @default false */
  readonly reverse?: boolean
}

export type Database = Pick<Level<string, Uint8Array>, 'open' | 'close' | 'get' | 'batch' | 'iterator'>

export function createDatabase(directory: string): Database {
  return new Level<string, Uint8Array>(directory, { keyEncoding: 'utf8', valueEncoding: 'view' })
}

export interface MetadataOptions {
  /** Whether the disk has the space that opening the database takes. @default always */
  readonly hasRoom: () => Promise<boolean>
}

const DEFAULT_OPTIONS: MetadataOptions = Object.freeze({ hasRoom: async () => true })

/**
 * The metadata of a store in LevelDB. After a write that failed, LevelDB refuses all others until it is opened anew, so
 * once there is space again the next write opens it anew first. Until then it stays open for reading: on a full disk it
 * could be closed but not opened.
 */
export class Metadata {
  readonly #database: Database
  readonly #options: MetadataOptions
  #failed = false
  #isOpen = true
  #reopening: Promise<void> | undefined
  #closed = false

  private constructor(database: Database, options: MetadataOptions) {
    this.#database = database
    this.#options = options
  }

  /** @throws {ContentError} STORE_IN_USE */
  static async open(database: Database, options = DEFAULT_OPTIONS): Promise<Metadata> {
    try {
      await database.open()
    } catch (error) {
      const cause = (error as Error).cause
      if (errorCode(cause) !== 'LEVEL_LOCKED') throw mapDiskFull(cause ?? error)
      throw new ContentError('STORE_IN_USE', 'another process has this store open', { cause: error })
    }
    return new Metadata(database, options)
  }

  /** @throws {ContentError} STORE_CLOSED */
  async get(key: string): Promise<Uint8Array | undefined> {
    const value = await this.#run(() => this.#database.get(key))
    return value && plain(value)
  }

  /** The entries of a range in its order. @throws {ContentError} STORE_CLOSED */
  async *range(range: KeyRange): AsyncGenerator<[string, Uint8Array]> {
    const iterator = await this.#run(async () => this.#database.iterator(range))
    try {
      for (;;) {
        const entry = await this.#run(() => iterator.next())
        if (entry === undefined) return
        yield [entry[0], plain(entry[1])]
      }
    } finally {
      await iterator.close()
    }
  }

  /** Writes all changes or none; durable when it resolves, unless `durable` is false. @throws {ContentError} DISK_FULL, STORE_CLOSED */
  async write(changes: readonly Change[], durable = true): Promise<void> {
    if (changes.length === 0) return
    if (this.#failed) await this.#reopen()
    try {
      await this.#run(() => this.#database.batch([...changes], { sync: durable }))
    } catch (error) {
      if (errorCode(error) === 'LEVEL_IO_ERROR') this.#failed = true
      throw mapDiskFull(error)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#reopening?.catch(() => {})
    await this.#database.close()
  }

  #reopen(): Promise<void> {
    this.#reopening ??= this.#closeAndOpen().finally(() => {
      this.#reopening = undefined
    })
    return this.#reopening
  }

  async #closeAndOpen(): Promise<void> {
    if (!(await this.#options.hasRoom())) throw new ContentError('DISK_FULL', 'the disk is full')
    try {
      this.#isOpen = false
      await this.#database.close()
      await this.#database.open()
      this.#isOpen = true
      this.#failed = false
    } catch (error) {
      throw mapDiskFull((error as Error).cause ?? error)
    }
  }

  async #run<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#closed) throw new ContentError('STORE_CLOSED', 'the store is closed')
    await this.#reopening?.catch(() => {})
    if (!this.#isOpen) await this.#reopen()
    try {
      return await work()
    } catch (error) {
      if (this.#closed) throw new ContentError('STORE_CLOSED', 'the store was closed', { cause: error })
      throw error
    }
  }
}

/** The same bytes as no more than a Uint8Array: the `slice` of a Buffer, which LevelDB gives, would not copy. */
function plain(value: Uint8Array): Uint8Array {
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
}

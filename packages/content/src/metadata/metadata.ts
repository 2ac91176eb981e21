import { Level } from 'level'
import { ContentError, errorCode, mapDiskFull } from '../errors.ts'

/** One change of the metadata; several are written in one step. */
export type Change =
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: string }

/** Keys after `gt` and before `lt`, in the order of their UTF-8 bytes. */
export interface KeyRange {
  readonly gt: string
  readonly lt: string
  readonly limit?: number
}

export type Database = Pick<Level<string, Uint8Array>, 'open' | 'close' | 'get' | 'batch' | 'iterator'>

export function createDatabase(directory: string): Database {
  return new Level<string, Uint8Array>(directory, { keyEncoding: 'utf8', valueEncoding: 'view' })
}

/**
 * The metadata of a store in LevelDB. After a write that failed, LevelDB refuses all others until it is opened anew, so
 * once there is space again the next write opens it anew first.
 */
export class Metadata {
  readonly #database: Database
  #failed = false
  #reopening: Promise<void> | undefined
  #closed = false

  private constructor(database: Database) {
    this.#database = database
  }

  /** @throws {ContentError} STORE_IN_USE */
  static async open(database: Database): Promise<Metadata> {
    try {
      await database.open()
    } catch (error) {
      const cause = (error as Error).cause
      if (errorCode(cause) !== 'LEVEL_LOCKED') throw mapDiskFull(cause ?? error)
      throw new ContentError('STORE_IN_USE', 'another process has this store open', { cause: error })
    }
    return new Metadata(database)
  }

  /** @throws {ContentError} STORE_CLOSED */
  async get(key: string): Promise<Uint8Array | undefined> {
    const value = await this.#run(() => this.#database.get(key))
    return value && plain(value)
  }

  /** The entries of a range in ascending order. @throws {ContentError} STORE_CLOSED */
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
    try {
      await this.#database.close()
      await this.#database.open()
      this.#failed = false
    } catch (error) {
      throw mapDiskFull((error as Error).cause ?? error)
    }
  }

  async #run<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#closed) throw new ContentError('STORE_CLOSED', 'the store is closed')
    await this.#reopening?.catch(() => {})
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

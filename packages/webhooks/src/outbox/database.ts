import { Level } from 'level'
import { errorCode, WebhookError } from '../errors.ts'

/** One change of the outbox; several are written in one step. */
export type Change =
  | { readonly type: 'put'; readonly key: string; readonly value: string }
  | { readonly type: 'del'; readonly key: string }

export interface KeyRange {
  readonly gt: string
  readonly lt: string
}

type LevelDatabase = Pick<Level<string, string>, 'open' | 'close' | 'get' | 'batch' | 'iterator'>

interface Batch {
  readonly changes: Change[]
  durable: boolean
  readonly written: PromiseWithResolvers<void>
}

/**
 * LevelDB with group commit: while a batch is being written, all that comes in gathers in the next one, so that a push of
 * many blobs waits for two writes of the disk at most, however many it makes. Batches are written one after the other.
 * After a write that failed LevelDB refuses all others until it is opened anew, so the next write opens it anew first.
 */
export class OutboxDatabase {
  readonly #database: LevelDatabase
  #next: Batch | undefined
  #writing: Promise<void> | undefined
  #failed = false
  #closed = false

  private constructor(database: LevelDatabase) {
    this.#database = database
  }

  /** @throws {WebhookError} OUTBOX_IN_USE, OUTBOX_FAILED */
  static async open(directory: string): Promise<OutboxDatabase> {
    const database = new Level<string, string>(directory, { keyEncoding: 'utf8', valueEncoding: 'utf8' })
    return await OutboxDatabase.use(database, directory)
  }

  /** @param name of the database, for messages */
  static async use(database: LevelDatabase, name: string): Promise<OutboxDatabase> {
    try {
      await database.open()
    } catch (error) {
      if (errorCode((error as Error).cause) === 'LEVEL_LOCKED') {
        throw new WebhookError('OUTBOX_IN_USE', `another process has the outbox ${name} open`, { cause: error })
      }
      const message = `the outbox ${name} can not be opened; move it away to start without what waits in it`
      throw new WebhookError('OUTBOX_FAILED', message, { cause: error })
    }
    return new OutboxDatabase(database)
  }

  /** How many changes wait for the batch that is being written. */
  get waiting(): number {
    return this.#next?.changes.length ?? 0
  }

  /** Writes all changes or none, in the order of the calls; synced to the disk when it resolves, if `durable`. @throws {WebhookError} OUTBOX_FAILED, CLOSED */
  async write(changes: readonly Change[], { durable }: { readonly durable: boolean }): Promise<void> {
    if (this.#closed) throw new WebhookError('CLOSED', 'the webhooks were stopped')
    this.#next ??= { changes: [], durable: false, written: Promise.withResolvers() }
    const batch = this.#next
    batch.changes.push(...changes)
    batch.durable ||= durable
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined
    })
    await batch.written.promise
  }

  get(key: string): Promise<string | undefined> {
    return this.#database.get(key)
  }

  /** The entries of a range in ascending order. */
  range(range: KeyRange): AsyncIterable<[string, string]> {
    return this.#database.iterator(range)
  }

  /** Writes what was handed in, then closes. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#writing
    await this.#database.close()
  }

  async #writeAll(): Promise<void> {
    while (this.#next !== undefined) {
      const batch = this.#next
      this.#next = undefined
      await this.#writeBatch(batch).then(batch.written.resolve, batch.written.reject)
    }
  }

  async #writeBatch({ changes, durable }: Batch): Promise<void> {
    try {
      if (this.#failed) await this.#reopen()
      await this.#database.batch(changes, { sync: durable })
    } catch (error) {
      this.#failed = true
      throw new WebhookError('OUTBOX_FAILED', 'the outbox of webhooks can not be written', { cause: error })
    }
  }

  async #reopen(): Promise<void> {
    await this.#database.close()
    await this.#database.open()
    this.#failed = false
  }
}

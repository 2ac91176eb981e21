import type { NoticeEntry, Notices } from '../interfaces.ts'
import { KeyedLock } from '../keyed-lock.ts'
import type { Metadata } from './metadata.ts'
import type { NoticeRow, Tables } from './tables.ts'

/** Signed documents that all nodes hold. Changes of the same one are made one after the other. */
export class StoredNotices implements Notices {
  readonly #metadata: Metadata
  readonly #tables: Tables
  readonly #lock = new KeyedLock()

  constructor({ metadata, tables }: { readonly metadata: Metadata; readonly tables: Tables }) {
    this.#metadata = metadata
    this.#tables = tables
  }

  async get(kind: string, signer: string): Promise<NoticeEntry | undefined> {
    const row = await this.#tables.notices.get(kind, signer)
    return row && entryOf(kind, signer, row)
  }

  put({ kind, signer, sequence, envelope, keptAt }: NoticeEntry): Promise<'stored' | 'known'> {
    return this.#lock.run(`${kind} ${signer}`, async () => {
      const here = await this.#tables.notices.get(kind, signer)
      if (here !== undefined && here.sequence >= sequence) return 'known'
      const row = { sequence, envelope: Buffer.from(envelope).toString('base64'), keptAt }
      await this.#metadata.write([this.#tables.notices.put([kind, signer], row)])
      return 'stored'
    })
  }

  async *all(): AsyncGenerator<NoticeEntry> {
    for await (const [[kind = '', signer = ''], row] of this.#tables.notices.range([])) {
      yield entryOf(kind, signer, row)
    }
  }
}

function entryOf(kind: string, signer: string, { sequence, envelope, keptAt }: NoticeRow): NoticeEntry {
  return { kind, signer, sequence, envelope: new Uint8Array(Buffer.from(envelope, 'base64')), keptAt }
}

import type { Digest } from '@layermesh/oci'
import type { Metadata } from '../metadata/metadata.ts'
import type { BlobRow, Tables } from '../metadata/tables.ts'
import type { Guards } from './guards.ts'

export interface UsesComponents {
  readonly metadata: Metadata
  readonly tables: Tables
  readonly guards: Guards
  readonly now: () => number
}

/** A whole blob and when it was used last. */
export interface UsedBlob {
  readonly digest: Digest
  readonly size: number
  /** In ms since 1970. */
  readonly usedAt: number
}

const ROWS_AT_ONCE = 1000

/**
 * When blobs were used last. Uses are noted in memory, by the guards, and written down once in a while, so that a read
 * costs no write; after a crash the last ones are forgotten. What is not known at all counts as used when the store was
 * opened.
 */
export class Uses {
  readonly #components: UsesComponents
  readonly #openedAt: number

  constructor(components: UsesComponents) {
    this.#components = components
    this.#openedAt = components.now()
  }

  /** Writes down what was used since the last time. */
  async save(): Promise<void> {
    const { metadata, tables, guards } = this.#components
    const uses = [...guards.takeUses()]
    for (let from = 0; from < uses.length; from += ROWS_AT_ONCE) {
      const rows = uses.slice(from, from + ROWS_AT_ONCE)
      await metadata.write(
        rows.map(([digest, at]) => tables.uses.put([digest], at)),
        false
      )
    }
  }

  /** When a blob, whole or not, was used last, in ms since 1970. */
  async of(digest: Digest): Promise<number> {
    const { tables } = this.#components
    return this.#latest(digest, await tables.blobs.get(digest), await tables.uses.get(digest))
  }

  /** The whole blobs in the order of their digests, from after one on. */
  async *list(after?: string): AsyncGenerator<UsedBlob> {
    const { tables } = this.#components
    const start = after === undefined ? {} : { after }
    const uses = tables.uses.range([], start)
    try {
      let use = await uses.next()
      for await (const [[name = ''], row] of tables.blobs.range([], start)) {
        while (!use.done && (use.value[0][0] ?? '') < name) use = await uses.next()
        const noted = !use.done && use.value[0][0] === name ? use.value[1] : undefined
        const digest = name as Digest
        yield { digest, size: row.size, usedAt: this.#latest(digest, row, noted) }
      }
    } finally {
      await uses.return(undefined)
    }
  }

  #latest(digest: Digest, row: BlobRow | undefined, noted: number | undefined): number {
    const known = [this.#components.guards.usedAt(digest), row?.at, noted].filter((at) => at !== undefined)
    return known.length === 0 ? this.#openedAt : Math.max(...known)
  }
}

import type { Digest } from '@layermesh/oci'
import type { PieceMaps } from '../interfaces.ts'
import type { Metadata } from './metadata.ts'
import type { Tables } from './tables.ts'

/** Signed piece maps. */
export class StoredPieceMaps implements PieceMaps {
  readonly #metadata: Metadata
  readonly #tables: Tables

  constructor({ metadata, tables }: { readonly metadata: Metadata; readonly tables: Tables }) {
    this.#metadata = metadata
    this.#tables = tables
  }

  get(digest: Digest): Promise<Uint8Array | undefined> {
    return this.#tables.pieceMaps.get(digest)
  }

  put(digest: Digest, envelope: Uint8Array): Promise<void> {
    return this.#metadata.write([this.#tables.pieceMaps.put([digest], envelope)])
  }

  delete(digest: Digest): Promise<void> {
    return this.#metadata.write([this.#tables.pieceMaps.del([digest])])
  }
}

import type { Digest } from '@layermesh/oci'
import type { KeyedLock } from '../keyed-lock.ts'
import type { WholeBlob } from './whole-blob.ts'

export interface OpenBlobsComponents {
  /** Opens a blob; undefined when it isn't here. Runs under the lock of its digest. */
  readonly open: (digest: Digest) => Promise<WholeBlob | undefined>
  readonly lock: KeyedLock
}

/** Keeps the blobs that were read last open, because a peer that takes one piece will soon take another. */
export class OpenBlobs {
  readonly #components: OpenBlobsComponents
  readonly #max: number
  // The least recently used first.
  readonly #open = new Map<Digest, WholeBlob>()
  readonly #opening = new Map<Digest, Promise<WholeBlob | undefined>>()

  /** @param max how many stay open when nobody reads them, at least 1 */
  constructor(components: OpenBlobsComponents, max: number) {
    this.#components = components
    this.#max = max
  }

  /** The blob, open; the caller releases it. */
  async acquire(digest: Digest): Promise<WholeBlob | undefined> {
    for (;;) {
      const open = this.#open.get(digest)
      if (open?.retain()) {
        this.#open.delete(digest)
        this.#open.set(digest, open)
        return open
      }
      const blob = await (this.#opening.get(digest) ?? this.#openOnce(digest))
      if (blob === undefined || blob.retain()) return blob
    }
  }

  /** Lets go of a blob that was deleted or taken back. Under the lock of its digest. */
  retire(digest: Digest): void {
    const blob = this.#open.get(digest)
    if (blob === undefined) return
    this.#open.delete(digest)
    blob.release()
  }

  #openOnce(digest: Digest): Promise<WholeBlob | undefined> {
    const { lock, open } = this.#components
    const opening = lock
      .run(digest, async () => {
        const blob = await open(digest)
        if (blob !== undefined) this.#keep(blob)
        return blob
      })
      .finally(() => this.#opening.delete(digest))
    this.#opening.set(digest, opening)
    return opening
  }

  #keep(blob: WholeBlob): void {
    this.#open.set(blob.digest, blob)
    for (const [digest, oldest] of this.#open) {
      if (this.#open.size <= this.#max) return
      this.#open.delete(digest)
      oldest.release()
    }
  }
}

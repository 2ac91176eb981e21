import { ContentError } from '../errors.ts'
import type { GarbageOptions, GarbageReport } from '../interfaces.ts'
import { Collection, type CollectionComponents, type CollectionOptions, readPosition } from './collection.ts'

/**
 * Online mark and sweep. The marks are in the metadata: a manifest's row is written in one step with a row for each
 * digest that it names, and goes with them; so a digest is marked in a repository as long as a manifest, a tag or a
 * manifest's names there lead to it. All manifests are roots, tagged or not.
 *
 * What looks like garbage is claimed, so that nobody can come to need it, and looked at again; only then it goes. Memory
 * does not grow with the store: each step goes through a table in order, and how far it is, is saved now and then.
 */
export class GarbageCollector {
  readonly #components: CollectionComponents
  readonly #options: CollectionOptions
  readonly #removesFrom: number
  readonly #closing = new AbortController()
  #running: Promise<GarbageReport> | undefined

  constructor(components: CollectionComponents, options: CollectionOptions) {
    this.#components = components
    this.#options = options
    this.#removesFrom = components.now() + options.leaseMs
  }

  /** @throws {ContentError} BUSY */
  async run({ dryRun = false, signal }: GarbageOptions = {}): Promise<GarbageReport> {
    if (this.#running !== undefined) {
      throw new ContentError('BUSY', 'garbage is being collected; ask again when that is over')
    }
    const { signal: closing } = this.#closing
    this.#running = this.#collect(dryRun, signal === undefined ? closing : AbortSignal.any([signal, closing]))
    try {
      return await this.#running
    } finally {
      this.#running = undefined
    }
  }

  /** Ends what runs where it is. */
  async close(): Promise<void> {
    this.#closing.abort()
    await this.#running?.catch(() => {})
  }

  async #collect(dryRun: boolean, signal: AbortSignal): Promise<GarbageReport> {
    const text = dryRun ? undefined : await this.#components.tables.store.get('garbage')
    const position = readPosition(text)
    return await new Collection(this.#components, this.#options, this.#removesFrom, dryRun, signal).run(position)
  }
}

import { setTimeout as wait } from 'node:timers/promises'
import type { Digest, Repository } from '@layermesh/oci'
import type { BlobCatalog } from '../blobs/blob-catalog.ts'
import { bytesOfPieces } from '../downloads/partial-rows.ts'
import type { GarbageReport, Removal } from '../interfaces.ts'
import { isNamed } from '../metadata/names.ts'
import type { StoredPins } from '../metadata/pins.ts'
import { unlinkChanges } from '../metadata/repositories.ts'
import { Forgetting, type ForgettingComponents, type ForgettingOptions } from './forgetting.ts'

export interface CollectionComponents extends ForgettingComponents {
  readonly catalog: BlobCatalog
  readonly pins: Pick<StoredPins, 'covers' | 'forgetLeftovers'>
  readonly onRemoved: (removal: Removal) => void
}

export interface CollectionOptions extends ForgettingOptions {
  /** An unfinished download that nobody went on with for so long is garbage, in ms. */
  readonly partialIdleMs: number
  /** How long a lease is. What was leased before a restart is not known after it: so long nothing is removed, in ms. */
  readonly leaseMs: number
  /** Rows that are looked at in a second. */
  readonly garbageRowsPerSecond: number
}

/** The steps of a collection, in order. Each goes through a table in the order of its keys, and can go on after any key. */
const PHASES = ['tags', 'manifests', 'blobs', 'partials', 'links', 'uses', 'pieceMaps', 'pushes'] as const
type Phase = (typeof PHASES)[number]

/** How far a collection is: what comes next, and the last key of it that was looked at. */
interface Position {
  readonly phase: Phase
  readonly after?: string
}

const START: Position = { phase: 'tags' }
const ROWS_AT_ONCE = 100
const SAVE_EVERY_ROWS = 2000

/** Where a run begins that goes on where another one saved that it was. */
export function readPosition(text: string | undefined): Position {
  const saved = text === undefined ? START : (JSON.parse(text) as Position)
  return PHASES.includes(saved.phase) ? saved : START
}

type Counts = { -readonly [Key in Exclude<keyof GarbageReport, 'complete'>]: number }

/** One run of the garbage collector over the store, or the rest of one. */
export class Collection {
  readonly #components: CollectionComponents
  readonly #options: CollectionOptions
  readonly #removesFrom: number
  readonly #dryRun: boolean
  readonly #signal: AbortSignal
  readonly #forgetting: Forgetting
  readonly #counts: Counts = { scanned: 0, unlinked: 0, blobs: 0, partials: 0, bytes: 0, rows: 0, spared: 0 }
  #rows = 0
  #pauseFrom = performance.now()

  constructor(
    components: CollectionComponents,
    options: CollectionOptions,
    removesFrom: number,
    dryRun: boolean,
    signal: AbortSignal
  ) {
    this.#components = components
    this.#options = options
    this.#removesFrom = removesFrom
    this.#dryRun = dryRun
    this.#signal = signal
    this.#forgetting = new Forgetting(components, options, dryRun, () => {
      this.#counts.rows++
    })
  }

  async run(position: Position): Promise<GarbageReport> {
    let { after } = position
    for (const phase of PHASES.slice(PHASES.indexOf(position.phase))) {
      for await (const key of this.#phase(phase, after)) {
        if (this.#signal.aborted) {
          await this.#save({ phase, after: key })
          return { ...this.#counts, complete: false }
        }
        await this.#paced({ phase, after: key })
      }
      after = undefined
    }
    if (!this.#dryRun) this.#counts.rows += await this.#components.pins.forgetLeftovers()
    await this.#save(undefined)
    return { ...this.#counts, complete: true }
  }

  /** Looks after the rows of a phase; yields the key of each that it is done with. */
  #phase(phase: Phase, after: string | undefined): AsyncGenerator<string> {
    const start = after === undefined ? {} : { after }
    if (phase === 'blobs') return this.#blobs(after)
    if (phase === 'partials') return this.#partials()
    if (phase === 'tags' || phase === 'manifests' || phase === 'links') return this.#forgetting[phase](start)
    return this.#forgetting.leftovers(phase, start)
  }

  /** Whole blobs: takes them out of repositories where nothing names them, and removes those that are in none. */
  async *#blobs(after: string | undefined): AsyncGenerator<string> {
    const { uses, now } = this.#components
    for await (const { digest, size, usedAt } of uses.list(after)) {
      this.#counts.scanned++
      const mark = await this.#mark(digest)
      const isGarbage = mark.unnamedIn.length > 0 || mark.isUnneeded
      if (isGarbage && now() < usedAt + this.#options.garbageGraceMs) this.#counts.spared++
      else if (isGarbage) await this.#sweep(digest, size, mark)
      yield digest
    }
  }

  /** Which repositories show a blob without a reason, and whether nothing at all needs its bytes. */
  async #mark(digest: Digest): Promise<{ unnamedIn: Repository[]; isUnneeded: boolean }> {
    const { tables, pins } = this.#components
    const unnamedIn: Repository[] = []
    let isNeeded = false
    for await (const [[name]] of tables.linkedFrom.range([digest])) {
      const repository = name as Repository
      if (await isNamed(tables, repository, digest)) isNeeded = true
      else unnamedIn.push(repository)
    }
    return { unnamedIn, isUnneeded: !isNeeded && !(await pins.covers(digest)) }
  }

  async #sweep(digest: Digest, size: number, mark: { unnamedIn: Repository[]; isUnneeded: boolean }): Promise<void> {
    const { guards, catalog, onRemoved } = this.#components
    const isTooEarly = this.#components.now() < this.#removesFrom
    if (isTooEarly || guards.isNeeded(digest)) {
      this.#counts.spared++
      return
    }
    if (this.#dryRun) {
      this.#counts.unlinked += mark.unnamedIn.length
      if (mark.isUnneeded) this.#countRemoved(size, true)
      return
    }
    const removed = await catalog.removeUnneeded(digest, () => this.#sweepClaimed(digest))
    if (removed === undefined) return
    this.#countRemoved(removed.bytes, removed.whole)
    onRemoved({ digest, reason: 'garbage', ...removed })
  }

  /** Nobody can come to need it any more: what is found now is true until it is done. @returns whether the bytes go too */
  async #sweepClaimed(digest: Digest): Promise<boolean> {
    const { metadata, tables, uses, now } = this.#components
    if (now() < (await uses.of(digest)) + this.#options.garbageGraceMs) return false
    const { unnamedIn, isUnneeded } = await this.#mark(digest)
    await metadata.write(unnamedIn.flatMap((repository) => unlinkChanges(tables, repository, digest)))
    this.#counts.unlinked += unnamedIn.length
    return isUnneeded
  }

  #countRemoved(bytes: number, whole: boolean): void {
    if (whole) this.#counts.blobs++
    else this.#counts.partials++
    this.#counts.bytes += bytes
  }

  /** Unfinished downloads that nobody goes on with. There are few. */
  async *#partials(): AsyncGenerator<string> {
    const { rows, catalog, onRemoved } = this.#components
    for await (const [digest, { size }] of rows.list()) {
      if (this.#dryRun) {
        if (await this.#isIdlePartial(digest))
          this.#countRemoved(bytesOfPieces((await rows.pieces(digest)).keys(), size), false)
      } else {
        const removed = await catalog.removeUnneeded(digest, () => this.#isIdlePartial(digest))
        if (removed !== undefined) {
          this.#countRemoved(removed.bytes, removed.whole)
          onRemoved({ digest, reason: 'garbage', ...removed })
        }
      }
      yield digest
    }
  }

  async #isIdlePartial(digest: Digest): Promise<boolean> {
    const { tables, uses, now } = this.#components
    if ((await tables.blobs.get(digest)) !== undefined) return false
    if (now() < (await uses.of(digest)) + this.#options.partialIdleMs) return false
    return !(await this.#awaitsRest(digest))
  }

  /**
   * Whether an unfinished download is what is left of a blob that must be here and lost pieces on the disk: whoever else has
   * those may be away for long, and nobody may have the others.
   */
  async #awaitsRest(digest: Digest): Promise<boolean> {
    const { tables, pins, retains } = this.#components
    for await (const [[name]] of tables.linkedFrom.range([digest])) {
      const repository = name as Repository
      if (retains(repository) && (await isNamed(tables, repository, digest))) return true
    }
    return await pins.covers(digest)
  }

  async #paced(position: Position): Promise<void> {
    this.#rows++
    if (this.#rows % SAVE_EVERY_ROWS === 0) await this.#save(position)
    if (this.#rows % ROWS_AT_ONCE > 0) return
    const due = this.#pauseFrom + (ROWS_AT_ONCE * 1000) / this.#options.garbageRowsPerSecond
    // Aborted or not, the loop looks at the signal next.
    await wait(Math.max(0, due - performance.now()), undefined, { signal: this.#signal, ref: false }).catch(() => {})
    this.#pauseFrom = performance.now()
  }

  async #save(position: Position | undefined): Promise<void> {
    if (this.#dryRun) return
    const { metadata, tables } = this.#components
    const row =
      position === undefined ? tables.store.del(['garbage']) : tables.store.put(['garbage'], JSON.stringify(position))
    await metadata.write([row], false)
  }
}

/**
 * A process that is killed while its store makes room and collects garbage all the time. It uses the store in argv[2], as
 * the seed in argv[3] has it, and writes a line for each image that the store has taken, and before it deletes one.
 */
import { writeSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { type Digest, digestOf, ownRepository, type Repository } from '@layermesh/oci'
import { openContentStore } from '../content-store.ts'
import { isContentError } from '../errors.ts'
import type { ContentStore } from '../interfaces.ts'
import { bytesOf, chunksOf, MIB } from './bytes.ts'
import { Random } from './random.ts'
import { sourceOf } from './sources.ts'

/** An image is a manifest that names one blob. */
export type CacheLine =
  | { readonly did: 'open' }
  | { readonly did: 'push'; readonly manifest: Digest; readonly blob: Digest }
  | { readonly will: 'delete'; readonly manifest: Digest }

export const PUSHED = ownRepository('crash/pushed')
const CACHE = ownRepository('crash/cache')
const MAX_IMAGES = 10
const MANIFEST_BYTES = 200

/** As if hours passed from one moment to the next. */
export const CACHE_OPTIONS = {
  minFree: { bytes: 0 },
  maxSize: { bytes: 24 * MIB },
  highWatermark: 0.6,
  lowWatermark: 0.3,
  flushBytes: MIB,
  flushMs: 5,
  tendMs: 5,
  saveUsesMs: 5,
  leaseMs: 5,
  garbageGraceMs: 10,
  partialIdleMs: 20,
  garbageRowsPerSecond: 1_000_000,
  retains: (repository: Repository) => repository === PUSHED
}

function tell(line: CacheLine): void {
  writeSync(1, `${JSON.stringify(line)}\n`)
}

/** Waits a little when all that is here is needed. */
async function unlessFull(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    const { cause } = error as { cause?: unknown }
    if (!isContentError(error, 'DISK_FULL') && !isContentError(cause, 'DISK_FULL')) throw error
    await wait(5)
  }
}

class Victim {
  readonly #store: ContentStore
  readonly #random: Random
  readonly #images: Digest[] = []

  constructor(store: ContentStore, random: Random) {
    this.#store = store
    this.#random = random
  }

  async push(): Promise<void> {
    const seed = this.#random.below(1_000_000)
    const bytes = bytesOf(this.#random.below(MIB), seed)
    const blob = digestOf(bytes)
    const upload = await this.#store.uploads.create(PUSHED)
    await unlessFull(async () => {
      await upload.append(chunksOf(bytes))
      const hold = await this.#store.leases.hold([blob])
      await upload.commit(blob)
      await this.#name(blob, seed)
      hold.release()
    })
    await upload.cancel()
  }

  async #name(blob: Digest, seed: number): Promise<void> {
    const bytes = bytesOf(MANIFEST_BYTES, seed + 1_000_000)
    const digest = digestOf(bytes)
    const hold = await this.#store.leases.hold([digest])
    await this.#store.blobs.put(digest, bytes)
    const entry = { digest, mediaType: 'm', size: MANIFEST_BYTES }
    await this.#store.repositories.putManifest(PUSHED, entry, [digest, blob])
    hold.release()
    tell({ did: 'push', manifest: digest, blob })
    this.#images.push(digest)
  }

  async delete(): Promise<void> {
    const manifest = this.#images.shift()
    if (manifest === undefined) return
    tell({ will: 'delete', manifest })
    await this.#store.repositories.deleteManifest(PUSHED, manifest)
  }

  /** Brings a blob, or a part of it. */
  async bring(): Promise<void> {
    const bytes = bytesOf(this.#random.below(3 * MIB), this.#random.below(1_000_000))
    const isBroken = this.#random.below(3) === 0
    const whole = sourceOf(bytes, isBroken ? { pieces: [0] } : {})
    await unlessFull(async () => {
      await this.#store.downloads.fetch(digestOf(bytes), whole)
      await this.#store.downloads.whole(digestOf(bytes)).catch((error) => {
        if (!isBroken) throw error
      })
      await this.#store.repositories.linkBlobs(CACHE, [digestOf(bytes)])
    })
  }

  async step(): Promise<void> {
    const kind = this.#random.below(10)
    if (kind < 4) await this.bring()
    else if (kind < 8 && this.#images.length < MAX_IMAGES) await this.push()
    else if (kind < 9) await this.delete()
    else await this.#store.collectGarbage().catch(() => undefined)
  }
}

async function repeat(work: () => Promise<void>): Promise<never> {
  for (;;) await work()
}

if (import.meta.main) {
  const [, , directory = '', seed = '0'] = process.argv
  const store = await openContentStore(directory, CACHE_OPTIONS)
  tell({ did: 'open' })
  const victim = new Victim(store, new Random(Number(seed)))
  await Promise.all([1, 2, 3].map(() => repeat(() => victim.step())))
}
